// attention/epilogue.cuh: from the warps' running sums to rows of the output.
//
// Where several warps share query rows, each has seen its own part of the keys: their sums are
// brought to one maximum and added. Results pass through shared memory once, so that rows are
// written in 16-byte pieces.
#pragma once

#include "attention/online_softmax.cuh"

namespace framescore::kernels::device {

// Where a block's output goes.
struct OutputRows {
  char* first;       // row 0 of the block's tile, at this head's first column
  int stride_bytes;  // from a row to the next
  int valid;         // rows of the tile that exist
};

// Writes columns [8n, 8n+8) of 16 rows, divided by the rows' sums, to the staging tile.
template <class T, int kDim>
FRAMESCORE_DEVICE void stage_block(std::uint32_t staging, int row, int n, const Fragment& output,
                                   const float (&inverse_sum)[2]) {
  const int lane = lane_id();
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const std::uint32_t offset = Tile<kDim * 2>::offset(row + lane / 4 + 8 * i, n);
    store_shared(staging + offset + 4 * (lane % 4),
                 pack<T>(output[2 * i] * inverse_sum[i], output[2 * i + 1] * inverse_sum[i]));
  }
}

// Writes staged rows [first, first + kRows) to memory; `worker` of kWorkers threads.
template <int kDim, int kRows, int kWorkers>
FRAMESCORE_DEVICE void write_rows(std::uint32_t staging, int first, int worker,
                                  const OutputRows& out) {
  using Rows = Tile<kDim * 2>;
#pragma unroll
  for (int i = worker; i < kRows * Rows::kChunks; i += kWorkers) {
    const int row = first + i / Rows::kChunks, chunk = i % Rows::kChunks;
    if (row >= out.valid) break;
    const uint4 value = load_shared<uint4>(staging + Rows::offset(row, chunk));
    store_global(out.first + row * out.stride_bytes + chunk * 16, value);
  }
}

// A row with no key to attend to is zero.
FRAMESCORE_DEVICE float inverse_or_zero(float sum) { return sum == 0 ? 0.0f : 1.0f / sum; }

// Each warp has seen all keys: every warp writes its own rows, first_row on.
template <class T, int kRowBlocks, int kDim>
FRAMESCORE_DEVICE void write_own_rows(const OnlineSoftmax<kRowBlocks, kDim>& softmax,
                                      std::uint32_t staging, int first_row, const OutputRows& out) {
  warp_barrier();  // the staging tile is where other lanes read Q
#pragma unroll
  for (int m = 0; m < kRowBlocks; ++m) {
    float inverse_sum[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) inverse_sum[i] = inverse_or_zero(row_sum(softmax.sum[m][i]));
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      stage_block<T, kDim>(staging, first_row + 16 * m, n, softmax.output[m][n], inverse_sum);
    }
  }
  warp_barrier();
  write_rows<kDim, 16 * kRowBlocks, kWarp>(staging, first_row, lane_id(), out);
}

// Shared memory of the merge: a float4 for each lane of each warp, for each block of 8 columns and
// for the maximum and the sum. Every lane reads what lanes of its own number wrote.
template <int kWarps, int kDim>
constexpr int kMergeBytes = kWarps * (kDim / 8 + 1) * kWarp * 16;

template <int kDim>
FRAMESCORE_DEVICE std::uint32_t merge_address(std::uint32_t merge, int warp, int n) {
  return merge + ((warp * (kDim / 8 + 1) + n) * kWarp + lane_id()) * 16;
}

// kWarpsKv neighbouring warps have seen parts of the keys for the same 16 rows, first_row on.
// `coefficient` is the one the scores were weighed with.
template <class T, int kWarpsKv, int kDim>
FRAMESCORE_DEVICE void write_merged_rows(const OnlineSoftmax<1, kDim>& softmax, float coefficient,
                                         std::uint32_t merge, std::uint32_t staging, int warp,
                                         int first_row, const OutputRows& out) {
  constexpr int kBlocks = kDim / 8;
  block_barrier();  // the merge lies where K and V were
#pragma unroll
  for (int n = 0; n < kBlocks; ++n) {
    const Fragment& part = softmax.output[0][n];
    store_shared(merge_address<kDim>(merge, warp, n), float4{part[0], part[1], part[2], part[3]});
  }
  store_shared(merge_address<kDim>(merge, warp, kBlocks),
               float4{softmax.maximum[0][0] * coefficient, softmax.maximum[0][1] * coefficient,
                      row_sum(softmax.sum[0][0]), row_sum(softmax.sum[0][1])});
  block_barrier();

  const int group = warp / kWarpsKv * kWarpsKv;  // first warp of these rows
  float4 state[kWarpsKv];
  float maximum[2] = {kNoMaximum * coefficient, kNoMaximum * coefficient};
#pragma unroll
  for (int g = 0; g < kWarpsKv; ++g) {
    state[g] = load_shared<float4>(merge_address<kDim>(merge, group + g, kBlocks));
    maximum[0] = larger(maximum[0], state[g].x);
    maximum[1] = larger(maximum[1], state[g].y);
  }
  float sum[2] = {0, 0};
#pragma unroll
  for (int g = 0; g < kWarpsKv; ++g) {
    state[g].x = exp2_fast(state[g].x - maximum[0]);
    state[g].y = exp2_fast(state[g].y - maximum[1]);
    sum[0] += state[g].x * state[g].z;
    sum[1] += state[g].y * state[g].w;
  }
  const float inverse_sum[2] = {inverse_or_zero(sum[0]), inverse_or_zero(sum[1])};
#pragma unroll
  for (int n = warp % kWarpsKv; n < kBlocks; n += kWarpsKv) {
    Fragment total = {0, 0, 0, 0};
#pragma unroll
    for (int g = 0; g < kWarpsKv; ++g) {
      const float4 part = load_shared<float4>(merge_address<kDim>(merge, group + g, n));
      total[0] += state[g].x * part.x;
      total[1] += state[g].x * part.y;
      total[2] += state[g].y * part.z;
      total[3] += state[g].y * part.w;
    }
    stage_block<T, kDim>(staging, first_row, n, total, inverse_sum);
  }
  block_barrier();
  const int worker = (warp - group) * kWarp + lane_id();
  write_rows<kDim, 16, kWarpsKv * kWarp>(staging, first_row, worker, out);
}

}  // namespace framescore::kernels::device
