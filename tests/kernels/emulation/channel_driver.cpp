// The channel attention with plain arguments, for tests/kernels/test_channel_attention.py.
#include "framescore/kernels/channel_attention.h"

using namespace framescore::kernels;

extern "C" {

// form: a ChannelTile, or -1 for the linear form.
int emulate_channel_attention(int type, int batch, int channels, int positions, int qkv_stride,
                              int residual_stride, int out_stride, float epsilon, const void* q,
                              const void* k, const void* v, const float* gamma, const float* beta,
                              const void* residual, void* out, void* workspace, int form) {
  const ChannelAttentionShape shape{static_cast<DataType>(type),
                                    batch,
                                    channels,
                                    positions,
                                    qkv_stride,
                                    residual_stride,
                                    out_stride,
                                    epsilon};
  const ChannelAttentionTensors tensors{q, k, v, gamma, beta, residual, out};
  const Status status =
      form < 0 ? launch_linear_channel_attention(shape, tensors, workspace, nullptr)
               : launch_channel_attention(shape, tensors, nullptr, static_cast<ChannelTile>(form));
  return static_cast<int>(status);
}

int linear_workspace(int batch, int channels, int positions) {
  return static_cast<int>(linear_channel_attention_workspace(
      {DataType::kFloat16, batch, channels, positions, 4096, 4096, 4096, 1e-5f}));
}

int channel_tile(int batch, int channels, int positions, int multiprocessors, int shared_bytes) {
  return static_cast<int>(
      choose_channel_tile({DataType::kFloat16, batch, channels, positions, 0, 0, 0, 1e-5f},
                          multiprocessors, shared_bytes));
}

int channel_shared_bytes(int tile, int positions) {
  return static_cast<int>(
      channel_attention_shared_bytes(static_cast<ChannelTile>(tile), positions));
}

}  // extern "C"
