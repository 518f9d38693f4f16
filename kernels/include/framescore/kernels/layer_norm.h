// framescore/kernels/layer_norm.h: residual addition and LayerNorm in one pass over the rows.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "framescore/kernels/status.h"

namespace framescore::kernels {

// Element type of every tensor; the first two are those of DataType.
enum class RowType : std::int32_t { kFloat16 = 0, kBFloat16 = 1, kFloat32 = 2 };

struct LayerNormShape {
  std::int32_t rows;   // tokens of all frames, 1..2^24
  std::int32_t width;  // channels, 1..1024
  RowType type;        // of every tensor
  float epsilon;       // added to the variance, >= 0
};

// Every tensor is packed. Where width * sizeof(type) and all pointers are multiples of 16, a lane
// moves 16 bytes at a time; otherwise one element.
struct LayerNormTensors {
  const void* input;     // [rows, width]
  const void* residual;  // [rows, width], or null: nothing is added
  const void* gamma;     // [width]
  const void* beta;      // [width]
  void* sum;             // [rows, width]: input + residual, or null; may be `residual` or `input`
  void* output;          // [rows, width]: may be `input`, if `sum` is not
};

// output = (s - mean(s)) / sqrt(var(s) + epsilon) * gamma + beta over each row of
// s = input + residual. Everything between load and store is float32, and `sum` is rounded only
// where it is stored: the statistics are those of the unrounded sum. A warp computes a row; the
// result does not depend on `rows`, nor on which row a token is.
//
// Asynchronous on `stream`, may be captured in a graph, allocates nothing, no shared memory.
// Returns another status than kOk, without launching, for what the limits above exclude.
Status launch_residual_layer_norm(const LayerNormShape& shape, const LayerNormTensors& tensors,
                                  cudaStream_t stream);

}  // namespace framescore::kernels
