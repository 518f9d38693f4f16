// INT8 attention with plain arguments, for tests/kernels/test_attention_int8.py.
#include "framescore/kernels/attention_int8.h"

using namespace framescore::kernels;

extern "C" {

int emulate_quantize(int batch, int tokens, int heads, int head_dim, float scale, const void* qkv,
                     std::int8_t* q, std::int8_t* k, float* q_scale, float* k_scale) {
  return static_cast<int>(launch_quantize_qk({batch, tokens, heads, head_dim, scale}, qkv,
                                             {q, k, q_scale, k_scale}, nullptr));
}

int emulate_attention_int8(int batch, int tokens, int heads, int head_dim, float scale,
                           const void* qkv, std::int8_t* q, std::int8_t* k, float* q_scale,
                           float* k_scale, void* out, int tile) {
  return static_cast<int>(launch_attention_int8({batch, tokens, heads, head_dim, scale},
                                                {q, k, q_scale, k_scale}, qkv, out, nullptr,
                                                static_cast<Int8AttentionTile>(tile)));
}

int int8_bytes(int batch, int tokens, int heads, int head_dim) {
  return static_cast<int>(quantized_bytes({batch, tokens, heads, head_dim, 1}));
}

int int8_scale_bytes(int batch, int tokens, int heads, int head_dim) {
  return static_cast<int>(quantized_scale_bytes({batch, tokens, heads, head_dim, 1}));
}

}  // extern "C"
