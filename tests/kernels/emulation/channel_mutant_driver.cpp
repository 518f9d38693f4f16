// emulate_channel_attention for few instantiations, so that many mutants compile quickly: float16
// with 196 positions, the tile kRows16 and the linear form. Arguments as in channel_driver.cpp.
#include "channel_attention/channel_forms.cuh"

using namespace framescore::kernels;
using Rows16 = ChannelForm<device::Half, ChannelTile::kRows16, 196>::Config;

extern "C" int linear_workspace(int batch, int channels, int) {
  return batch * (channels * 4 + 208 * 4 + 208 * 208 * 2);
}

extern "C" int emulate_channel_attention(int, int batch, int channels, int, int qkv_stride,
                                         int residual_stride, int out_stride, float epsilon,
                                         const void* q, const void* k, const void* v,
                                         const float* gamma, const float* beta,
                                         const void* residual, void* out, void* workspace,
                                         int form) {
  const device::ChannelArguments exact{
      q,
      k,
      v,
      channels,
      qkv_stride * 2,
      1.0f / 14,
      {gamma, beta, static_cast<const char*>(residual), static_cast<char*>(out),
       residual_stride * 2, out_stride * 2, epsilon}};
  if (form < 0) {
    float* norms = static_cast<float*>(workspace);
    float* base = norms + batch * channels;
    char* gram = reinterpret_cast<char*>(base + batch * 208);
    return static_cast<int>(
        launch_linear<device::Half, 196>({exact, batch, norms, base, gram}, nullptr));
  }
  const dim3 grid(static_cast<unsigned>(channels / Rows16::kRows), static_cast<unsigned>(batch));
  return static_cast<int>(device::launch<device::channel_attention_kernel<Rows16>>(
      grid, dim3(Rows16::kThreads), Rows16::kSharedBytes, nullptr, exact));
}
