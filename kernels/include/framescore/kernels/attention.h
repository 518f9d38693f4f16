// framescore/kernels/attention.h: multi-head attention, forward, from packed QKV.
//
//   out[b, i, h, :] = sum_j softmax_j(scale * q_i . k_j + bias[h, i, j]) v_j    over kept keys j
//
// Reads what the QKV product of a vision transformer writes and writes what its projection reads:
// there is no transposition around it. Scores, softmax and sums are float; the weights of V are
// rounded to the element type. NaN in an input reaches the outputs that depend on it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "framescore/kernels/status.h"

namespace framescore::kernels {

struct AttentionShape {
  DataType type;    // of qkv, bias and out
  int batch;        // 1..65535
  int tokens;       // 1..4096
  int heads;        // 1..65535, heads * head_dim <= 65536
  int head_dim;     // 32, 48, 64, 96 or 128
  float scale;      // > 0; usually 1 / sqrt(head_dim)
  int bias_stride;  // elements from a row of bias to the next: even, >= tokens; 0 without bias
  int mask_stride;  // bytes from an image's mask to the next: >= tokens; 0 without mask
};

// How queries and keys are laid over a block of threads. kAuto chooses by device and shape.
enum class AttentionTile : int {
  kAuto = 0,
  kRows128 = 1,         // 4 warps of 32 rows: large batches; head_dim <= 64
  kRows64 = 2,          // 4 warps of 16 rows
  kRows32 = 3,          // 2 x 16 rows, keys split over 2 warps; head_dim <= 64
  kRows16 = 4,          // 16 rows, keys split over 4 warps: batch 1 on a large GPU
  kRows16Resident = 5,  // the same, 256 keys at once: up to 256 tokens without waiting a second
                        // time; head_dim <= 64, more than 48 KB of shared memory at 64
};

// Puts the attention of a batch on a stream.
//
//   qkv:  [batch, tokens, 3, heads, head_dim], contiguous, 16-byte aligned.
//   bias: [heads, tokens, bias_stride] added to scaled scores, 4-byte aligned, or null. Columns
//   from
//         `tokens` on may hold anything. -infinity masks.
//   mask: [batch, mask_stride] bytes, nonzero for keys to attend to, or null. Where no key is left
//         the output is zero.
//   out:  [batch, tokens, heads, head_dim], contiguous, 16-byte aligned; no overlap with inputs.
//
// Allocates nothing and does not synchronise; may be captured in a graph. Two calls give the same
// bits. Every tile except kRows16Resident needs at most 48 KB of dynamic shared memory.
Status launch_attention(const AttentionShape& shape, const void* qkv, const void* bias,
                        const std::uint8_t* mask, void* out, cudaStream_t stream,
                        AttentionTile tile = AttentionTile::kAuto);

// The tile that kAuto means on a device of so many multiprocessors, each block of which may have so
// much shared memory (cudaDevAttrMaxSharedMemoryPerBlockOptin).
AttentionTile choose_attention_tile(const AttentionShape& shape, int multiprocessors,
                                    int shared_bytes_per_block);

// Dynamic shared memory of a tile in bytes; 0 when it is not built for this head_dim.
std::size_t attention_shared_bytes(AttentionTile tile, int head_dim);

}  // namespace framescore::kernels
