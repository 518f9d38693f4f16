// launch_attention and its neighbours with plain arguments, for tests/kernels/test_attention.py.
#include "framescore/kernels/attention.h"

using framescore::kernels::AttentionShape;
using framescore::kernels::AttentionTile;
using framescore::kernels::DataType;

extern "C" {

int emulate_attention(int type, int batch, int tokens, int heads, int head_dim, float scale,
                      int bias_stride, int mask_stride, const void* qkv, const void* bias,
                      const std::uint8_t* mask, void* out, int tile) {
  const AttentionShape shape{
      static_cast<DataType>(type), batch, tokens, heads, head_dim, scale, bias_stride, mask_stride};
  return static_cast<int>(framescore::kernels::launch_attention(
      shape, qkv, bias, mask, out, nullptr, static_cast<AttentionTile>(tile)));
}

int attention_tile(int batch, int tokens, int heads, int head_dim, int multiprocessors,
                   int shared_bytes) {
  const AttentionShape shape{DataType::kFloat16, batch, tokens, heads, head_dim, 1, 0, 0};
  return static_cast<int>(
      framescore::kernels::choose_attention_tile(shape, multiprocessors, shared_bytes));
}

int attention_shared_bytes_for(int tile, int head_dim) {
  return static_cast<int>(
      framescore::kernels::attention_shared_bytes(static_cast<AttentionTile>(tile), head_dim));
}

}  // extern "C"
