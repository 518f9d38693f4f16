// framescore/kernels/channel_attention.h: attention among the channels of a feature map.
//
//   s[c, e] = q_c . k_e / (|q_c| |k_e| sqrt(positions))       q, k, v: [batch, channels, positions]
//   o[c, :] = sum_e softmax_e(s[c, e]) v_e
//   out     = LayerNorm_positions(o) * gamma + beta + residual
//
// One head. Norms are taken as max(|x|, 1e-12). Since |s| <= 1/sqrt(positions), the softmax needs
// no running maximum and its exponential is a polynomial of degree 3 (error < 2e-5 at 49 positions,
// < 2e-6 at 196), below what rounding a weight to 16 bits costs. No projection is applied to o.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "framescore/kernels/status.h"

namespace framescore::kernels {

struct ChannelAttentionShape {
  DataType type;        // of q, k, v, residual and out
  int batch;            // 1..65535
  int channels;         // a multiple of 64, 64..4096
  int positions;        // 196 (14 x 14) or 49 (7 x 7)
  int qkv_stride;       // elements from a channel to the next in q, k and v: a multiple of 8,
                        // >= positions rounded up to 8; 3 * 200 where they are packed in one tensor
  int residual_stride;  // the same for residual: even, >= positions + positions % 2
  int out_stride;       // and for out
  float epsilon;        // of the normalisation, > 0: 1e-5
};

// Tensors of one call. Columns from `positions` on are padding: never used, never written.
struct ChannelAttentionTensors {
  const void* q;         // [batch, channels, qkv_stride], 16-byte aligned; k and v too
  const void* k;         //
  const void* v;         //
  const float* gamma;    // [positions], 8-byte aligned; null: no LayerNorm
  const float* beta;     // [positions], 8-byte aligned; null with gamma
  const void* residual;  // [batch, channels, residual_stride], 4-byte aligned; null: nothing added
  void* out;             // [batch, channels, out_stride], 4-byte aligned; may be residual itself
};

// How channels are laid over a block of threads. kAuto chooses by device and shape.
enum class ChannelTile : int {
  kAuto = 0,
  kRows64 = 1,    // 4 warps of 16 channels, 78 KB of shared memory at 196 positions: large batches
  kRows32 = 2,    // 2 x 16 channels, keys split over 2 warps, 65 KB
  kRows16 = 3,    // 16 channels, keys split over 4 warps, 59 KB: batch 1 on a large GPU
  kPortable = 4,  // as kRows32 within 48 KB
};

// Exact softmax, one kernel. Allocates nothing, does not synchronise, may be captured in a graph;
// two calls give the same bits.
Status launch_channel_attention(const ChannelAttentionShape& shape,
                                const ChannelAttentionTensors& tensors, cudaStream_t stream,
                                ChannelTile tile = ChannelTile::kAuto);

// With exp(s) replaced by 1 + s, which the bound on s makes exact to about 1e-5 of o: then
// o = (mean v + q^ (k^' v) / ..) / (1 + q^ mean k^ / ..), linear in the number of channels. Three
// small kernels, each within 48 KB. `workspace`: linear_channel_attention_workspace() bytes,
// 16-byte aligned, not shared with a call that may run at the same time.
Status launch_linear_channel_attention(const ChannelAttentionShape& shape,
                                       const ChannelAttentionTensors& tensors, void* workspace,
                                       cudaStream_t stream);

std::size_t linear_channel_attention_workspace(const ChannelAttentionShape& shape);

// The tile that kAuto means on a device of so many multiprocessors, each block of which may have so
// much shared memory (cudaDevAttrMaxSharedMemoryPerBlockOptin).
ChannelTile choose_channel_tile(const ChannelAttentionShape& shape, int multiprocessors,
                                int shared_bytes_per_block);

// Dynamic shared memory of a tile in bytes; 0 for positions that are not built.
std::size_t channel_attention_shared_bytes(ChannelTile tile, int positions);

}  // namespace framescore::kernels
