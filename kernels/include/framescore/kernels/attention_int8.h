// framescore/kernels/attention_int8.h: attention with 8-bit queries and keys, values in float16.
//
// Two steps: launch_quantize_qk, then launch_attention_int8. Each token of each head has its own
// scale. From the keys their mean over all tokens is taken first: it shifts every score of a row
// alike, which softmax does not see, and keys with a common offset would otherwise spend their 8
// bits on it. Scores are exact integers times scales; softmax and sums are float. NaN in a query
// reaches its row, NaN in a key every row: its mean is NaN.
//
// Costs 20 to 40 times the error of launch_attention. Use it only where it was measured to be
// faster.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "framescore/kernels/status.h"

namespace framescore::kernels {

struct Int8AttentionShape {
  int batch;     // 1..65535
  int tokens;    // 1..4096
  int heads;     // 1..65535, heads * head_dim <= 65536
  int head_dim;  // 32, 64 or 128
  float scale;   // > 0; usually 1 / sqrt(head_dim)
};

// Queries and keys of one call, quantised: x ~ scale * int8.
struct QuantizedQk {
  std::int8_t* q;  // [batch, heads, tokens, head_dim], 16-byte aligned; k too
  std::int8_t* k;  // less the mean of the keys
  float* q_scale;  // [batch, heads, stride], 16-byte aligned; stride = tokens rounded up to 4
  float* k_scale;  // the same; padding may hold anything
};

enum class Int8AttentionTile : int {
  kAuto = 0,
  kRows64 = 1,  // 4 warps of 16 rows
  kRows16 = 2,  // 16 rows, keys split over 4 warps: batch 1 on a large GPU
};

// Bytes of q or k, and of q_scale or k_scale.
std::size_t quantized_bytes(const Int8AttentionShape& shape);
std::size_t quantized_scale_bytes(const Int8AttentionShape& shape);

// Quantises Q and K of packed qkv [batch, tokens, 3, heads, head_dim], float16, 16-byte aligned.
Status launch_quantize_qk(const Int8AttentionShape& shape, const void* qkv,
                          const QuantizedQk& quantized, cudaStream_t stream);

// Attends: queries and keys from `quantized`, values from packed qkv. out: [batch, tokens, heads,
// head_dim], float16, 16-byte aligned. At most 48 KB of dynamic shared memory.
//
// Neither call allocates or synchronises; both may be captured in a graph.
Status launch_attention_int8(const Int8AttentionShape& shape, const QuantizedQk& quantized,
                             const void* qkv, void* out, cudaStream_t stream,
                             Int8AttentionTile tile = Int8AttentionTile::kAuto);

}  // namespace framescore::kernels
