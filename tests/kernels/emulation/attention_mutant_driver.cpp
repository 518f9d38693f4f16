// emulate_attention for few instantiations, so that many mutants compile quickly: float16 with
// head_dim 64, tiles kRows64 and kRows16. Arguments as in attention_driver.cpp.
#include "attention/dispatch.cuh"

using namespace framescore::kernels;

template <AttentionTile tile>
Status launch(const AttentionLaunch& launch) {
  return launch.arguments.bias == nullptr ? launch_config<device::Half, tile, 64, false>(launch)
                                          : launch_config<device::Half, tile, 64, true>(launch);
}

extern "C" int emulate_attention(int, int batch, int tokens, int heads, int, float scale,
                                 int bias_stride, int mask_stride, const void* qkv,
                                 const void* bias, const std::uint8_t* mask, void* out, int tile) {
  constexpr float kLog2E = 1.4426950408889634f;
  const dim3 grid(1, static_cast<unsigned>(heads), static_cast<unsigned>(batch));
  const AttentionLaunch all{
      static_cast<AttentionTile>(tile),
      DataType::kFloat16,
      grid,
      nullptr,
      {qkv, bias, mask, out, tokens, scale * kLog2E, bias_stride, mask_stride}};
  return static_cast<int>(all.tile == AttentionTile::kRows64 ? launch<AttentionTile::kRows64>(all)
                                                             : launch<AttentionTile::kRows16>(all));
}
