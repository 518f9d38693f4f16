// channel_attention/linear_attention.cuh: the linear form, three small kernels.
//
// With exp(s) ~ 1 + s, and q^, k^ rows of norm 1, the sums over all channels come before the
// product with the queries:
//
//   o[c, :] = (mean_e v_e + q^_c G / sqrt(positions)) / (1 + q^_c mean_e k^_e / sqrt(positions))
//   G = (1 / channels) sum_e k^_e v_e^T      [positions, positions]
//
// A column of ones beside V and one beside K^ make one product of it: G then holds mean k^ in its
// last column and mean v in its last row. That row carries the result almost alone and LayerNorm
// takes its mean away, so it is kept in float; G proper is rounded to 16 bits.
#pragma once

#include "channel_attention/channel_attention.cuh"

namespace framescore::kernels::device {

struct LinearArguments {
  ChannelArguments tensors;
  int batch;
  float* key_norms;  // [batch, channels]: 1 / |k|
  float* base;       // [batch, kDim]: mean v, and 1 in the column of ones
  char* gram;        // [batch, kDim, kDim]: G, and mean k^ in the column of ones
};

// ---- 1: norms of K, a warp for each row

template <class G>
FRAMESCORE_DEVICE void key_norms(const LinearArguments& a, int row) {
  const char* key = static_cast<const char*>(a.tensors.k) +
                    static_cast<std::size_t>(row) * a.tensors.stride_bytes;
  float squares = 0;
#pragma unroll
  for (int first = 0; first < G::kPositions; first += 2 * kWarp) {
    const int column = first + 2 * lane_id();
    if (column >= G::kPositions) break;
    const float2 value = load_elements<G>(key, column);
    squares += value.x * value.x + value.y * value.y;
  }
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    squares += shuffle_xor(squares, distance);
  }
  if (lane_id() == 0) store_global(a.key_norms + row, inverse_norm(squares));
}

constexpr int kNormWarps = 8;

template <class G>
__global__ void __launch_bounds__(kNormWarps* kWarp)
    key_norms_kernel(const __grid_constant__ LinearArguments a) {
  const int row = static_cast<int>(blockIdx.x) * kNormWarps + warp_id();
  if (row < a.batch * a.tensors.channels) key_norms<G>(a, row);
}

// ---- 2: G, in square tiles of kTile, 2 x 2 warps

template <class Element, int kPositions, int kTile_>
struct GramConfig : ChannelGeometry<Element, kPositions> {
  using G = ChannelGeometry<Element, kPositions>;
  static constexpr int kTile = kTile_;
  static constexpr int kStages = 3;
  static constexpr int kThreads = 4 * kWarp;
  static constexpr int kChannels = 64;     // of a step
  static constexpr int kPart = kTile / 2;  // of a warp, each way
  static constexpr int kTiles = (G::kDim + kTile - 1) / kTile;
  using Part = Tile<kTile * 2>;  // kTile columns of K, or of V
  static constexpr int kPartBytes = kChannels * Part::kRowBytes;
  static constexpr int kSharedBytes = kStages * 2 * kPartBytes;
};

template <class C>
struct GramBlock {
  const char* key;    // at the tile's first row of G
  const char* value;  // at the tile's first column
  int row, column;    // of G
  std::uint32_t ring;

  FRAMESCORE_DEVICE explicit GramBlock(const LinearArguments& a) {
    const ChannelArguments& t = a.tensors;
    const std::size_t image = static_cast<std::size_t>(blockIdx.z) * t.channels * t.stride_bytes;
    row = static_cast<int>(blockIdx.y) * C::kTile;
    column = static_cast<int>(blockIdx.x) * C::kTile;
    key = static_cast<const char*>(t.k) + image + row * 2;
    value = static_cast<const char*>(t.v) + image + column * 2;
    ring = shared_memory_base();
  }

  FRAMESCORE_DEVICE std::uint32_t key_part(int step) const {
    return ring + step % C::kStages * 2 * C::kPartBytes;
  }
  FRAMESCORE_DEVICE std::uint32_t value_part(int step) const {
    return key_part(step) + C::kPartBytes;
  }

  FRAMESCORE_DEVICE void copy_step(const ChannelArguments& t, int step) const {
    using Part = typename C::Part;
    const int offset = step * C::kChannels * t.stride_bytes;
    if (step * C::kChannels < t.channels) {
      Part::template copy<C::kChannels, C::kThreads>(key_part(step), key + offset, t.stride_bytes,
                                                     C::kChannels, (C::kPositions - row) * 2);
      Part::template copy<C::kChannels, C::kThreads>(value_part(step), value + offset,
                                                     t.stride_bytes, C::kChannels,
                                                     (C::kPositions - column) * 2);
    }
    copy_async_commit();
  }
};

// The A operand: 16 rows of G by 16 channels, K transposed, each channel divided by its norm, and
// ones where the row of G is that of ones. `norms`: of these 16 channels.
template <class C>
FRAMESCORE_DEVICE void load_unit_keys(std::uint32_t (&left)[4], std::uint32_t part, int channel,
                                      int column, int row_of_gram, const float* norms) {
  using T = typename C::Element;
  load_matrices_transposed(left, C::Part::paired_address(part, channel, column / 16));
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float2 norm = load_global<float2>(norms + 8 * half + 2 * (lane_id() % 4));
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float2 key = unpack<T>(left[2 * half + i]);
      const bool ones = row_of_gram + lane_id() / 4 + 8 * i == C::kOnes;
      left[2 * half + i] = ones ? pack<T>(1.0f, 1.0f) : pack<T>(key.x * norm.x, key.y * norm.y);
    }
  }
}

// Writes two neighbouring values of a row of G: the last row to `base`, as floats.
template <class C>
FRAMESCORE_DEVICE void store_gram(const LinearArguments& a, int row, int column, float2 value) {
  if (row >= C::kDim || column >= C::kDim) return;
  const std::size_t image = blockIdx.z;
  if (row == C::kOnes) {
    store_global(a.base + image * C::kDim + column, value);
    value = {0, 0};
  }
  const std::size_t index = (image * C::kDim + row) * C::kDim + column;
  store_global(a.gram + index * 2, pack<typename C::Element>(value.x, value.y));
}

template <class C>
FRAMESCORE_DEVICE void gram(const LinearArguments& a) {
  const ChannelArguments& t = a.tensors;
  const GramBlock<C> block(a);
  const int warp = warp_id();
  const int part_row = warp / 2 * C::kPart, part_column = warp % 2 * C::kPart;
  const float* norms = a.key_norms + static_cast<std::size_t>(blockIdx.z) * t.channels;

  const auto copy_step = [&](int step) { block.copy_step(t, step); };
  fill_ring<C::kStages>(copy_step);
  Fragment sums[C::kPart / 16][C::kPart / 8] = {};
  for (int step = 0; step < t.channels / C::kChannels; ++step) {
    advance_ring<C::kStages>(step, copy_step);
#pragma unroll
    for (int channel = 0; channel < C::kChannels; channel += 16) {
      std::uint32_t left[C::kPart / 16][4];
#pragma unroll
      for (int m = 0; m < C::kPart / 16; ++m) {
        load_unit_keys<C>(left[m], block.key_part(step), channel, part_row + 16 * m,
                          block.row + part_row + 16 * m, norms + step * C::kChannels + channel);
      }
#pragma unroll
      for (int c = 0; c < C::kPart / 16; ++c) {
        std::uint32_t right[4];
        load_matrices_transposed(
            right, C::Part::block_address(block.value_part(step), channel, part_column / 16 + c));
        const int n = (block.column + part_column) / 8 + 2 * c;
        set_ones<typename C::G>(n, right[0], right[1]);
        set_ones<typename C::G>(n + 1, right[2], right[3]);
#pragma unroll
        for (int m = 0; m < C::kPart / 16; ++m) {
          multiply_add<typename C::Element>(sums[m][2 * c], left[m], right[0], right[1]);
          multiply_add<typename C::Element>(sums[m][2 * c + 1], left[m], right[2], right[3]);
        }
      }
    }
  }
  copy_async_wait<0>();

  const float per_channel = 1.0f / static_cast<float>(t.channels);
#pragma unroll
  for (int m = 0; m < C::kPart / 16; ++m) {
#pragma unroll
    for (int n = 0; n < C::kPart / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = block.row + part_row + 16 * m + lane_id() / 4 + 8 * i;
        const int column = block.column + part_column + 8 * n + 2 * (lane_id() % 4);
        store_gram<C>(a, row, column,
                      {sums[m][n][2 * i] * per_channel, sums[m][n][2 * i + 1] * per_channel});
      }
    }
  }
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, 4)
    gram_kernel(const __grid_constant__ LinearArguments a) {
  gram<C>(a);
}

// ---- 3: the product with the queries, LayerNorm and residual; G comes 16 rows a step

template <class Element, int kPositions, int kWarps_>
struct LinearOutputConfig : ChannelGeometry<Element, kPositions> {
  using G = ChannelGeometry<Element, kPositions>;
  static constexpr int kThreads = kWarps_ * kWarp;
  static constexpr int kRows = 16 * kWarps_;
  static constexpr int kStages = 3;
  static constexpr int kBlocksPerSm = kPositions < 64 ? 4 : 0;  // 0: as ptxas likes
  static constexpr int kQueryBytes = kRows * G::kRowBytes;
  static constexpr int kStepBytes = 16 * G::kRowBytes;
  static constexpr int kSharedBytes = kQueryBytes + kStages * kStepBytes + kRows * 4;
};

// sums = base + scale / |q| * sums, for the rows of a warp.
template <class G>
FRAMESCORE_DEVICE void add_base(Fragment (&sums)[G::kBlocks], const float* base,
                                const float (&query_scale)[2]) {
#pragma unroll
  for (int n = 0; n < G::kBlocks; ++n) {
    const float2 mean = load_global<float2>(base + 8 * n + 2 * (lane_id() % 4));
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      sums[n][2 * i] = mean.x + query_scale[i] * sums[n][2 * i];
      sums[n][2 * i + 1] = mean.y + query_scale[i] * sums[n][2 * i + 1];
    }
  }
}

template <class C>
FRAMESCORE_DEVICE void linear_output(const LinearArguments& a) {
  using G = typename C::G;
  const ChannelArguments& t = a.tensors;
  const std::size_t image = blockIdx.y;
  const std::size_t first = image * t.channels + blockIdx.x * C::kRows;
  const std::uint32_t query_tile = shared_memory_base();
  const std::uint32_t ring = query_tile + C::kQueryBytes;
  const std::uint32_t norms = ring + C::kStages * C::kStepBytes;
  const auto step_tile = [&](int step) { return ring + step % C::kStages * C::kStepBytes; };
  const auto copy_step = [&](int step) {
    if (step < C::kSteps) {
      const char* rows = a.gram + (image * C::kDim + 16 * step) * C::kRowBytes;
      C::Rows::template copy<16, C::kThreads>(step_tile(step), rows, C::kRowBytes, 16);
    }
    copy_async_commit();
  };

  C::Rows::template copy<C::kRows, C::kThreads>(
      query_tile, static_cast<const char*>(t.q) + first * t.stride_bytes, t.stride_bytes, C::kRows,
      C::kValidBytes);
  fill_ring<C::kStages>(copy_step);
  find_inverse_norms<G, C::kRows, C::kThreads>(query_tile, norms);

  const int query_row = warp_id() * 16;
  Fragment sums[C::kBlocks] = {};
  for (int step = 0; step < C::kSteps; ++step) {
    advance_ring<C::kStages>(step, copy_step);
    std::uint32_t left[4];
    load_matrices(left, C::Rows::block_address(query_tile, query_row, step));
    multiply_values<G>(sums, left, step_tile(step), 0, false);
  }
  copy_async_wait<0>();

  float query_scale[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    query_scale[i] = load_shared<float>(norms + 4 * (query_row + lane_id() / 4 + 8 * i)) * t.scale;
  }
  add_base<G>(sums, a.base + image * C::kDim, query_scale);
  finish_rows<G>(sums, rows_of_tile(t.rows, first), query_row);
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, C::kBlocksPerSm)
    linear_output_kernel(const __grid_constant__ LinearArguments a) {
  linear_output<C>(a);
}

}  // namespace framescore::kernels::device
