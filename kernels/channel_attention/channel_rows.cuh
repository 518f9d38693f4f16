// channel_attention/channel_rows.cuh: what the exact and the linear form share: rows of a feature
// map in shared memory, their norms, and the epilogue from sums to normalised rows.
#pragma once

#include "device/tile.cuh"

namespace framescore::kernels::device {

using Fragment = float[4];

// A row has kPositions values and is padded with zeros to kDim. The first padding column of V is
// read as ones: the product then holds the sum of the weights in that column.
template <class Element_, int kPositions_>
struct ChannelGeometry {
  using Element = Element_;
  static constexpr int kPositions = kPositions_;
  static constexpr int kDim = (kPositions + 15) / 16 * 16;
  static constexpr int kSteps = kDim / 16;            // of a product along a row
  static constexpr int kOnes = kPositions;            // the column of ones
  static constexpr int kBlocks = kPositions / 8 + 1;  // of 8 columns, with the column of ones
  static constexpr int kRowBytes = kDim * 2;
  static constexpr int kValidBytes = kPositions * 2;
  using Rows = Tile<kRowBytes>;
  static_assert(kPositions % 16 != 0, "needs a padding column");
};

// In the B operand of columns [8n, 8n+8) of V: ones in the column of ones.
template <class G>
FRAMESCORE_DEVICE void set_ones(int n, std::uint32_t& b0, std::uint32_t& b1) {
  if (n == G::kOnes / 8 && lane_id() / 4 == G::kOnes % 8) {
    b0 = b1 = pack<typename G::Element>(1.0f, 1.0f);
  }
}

// output[0..kBlocks) += left [16, 16] times the 16 rows of V from value_row on.
template <class G>
FRAMESCORE_DEVICE void multiply_values(Fragment (&output)[G::kBlocks],
                                       const std::uint32_t (&left)[4], std::uint32_t value_tile,
                                       int value_row, bool with_ones) {
  using T = typename G::Element;
#pragma unroll
  for (int c = 0; c < G::kSteps; ++c) {
    std::uint32_t right[4];
    load_matrices_transposed(right, G::Rows::block_address(value_tile, value_row, c));
    if (with_ones) {
      set_ones<G>(2 * c, right[0], right[1]);
      set_ones<G>(2 * c + 1, right[2], right[3]);
    }
    multiply_add<T>(output[2 * c], left, right[0], right[1]);
    if (2 * c + 1 < G::kBlocks) multiply_add<T>(output[2 * c + 1], left, right[2], right[3]);
  }
}

// The square sum of 8 elements in 16 bytes.
template <class T>
FRAMESCORE_DEVICE float square_sum(const uint4& chunk) {
  const std::uint32_t pairs[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 value = unpack<T>(pairs[i]);
    sum += value.x * value.x + value.y * value.y;
  }
  return sum;
}

// 1 / max(norm, 1e-12), from the square sum.
FRAMESCORE_DEVICE float inverse_norm(float squares) {
  return inverse_sqrt(larger(squares, 1e-24f));
}

// Writes 1 / norm of each of kCount rows of a tile to shared memory as floats. Eight lanes take a
// row; the barriers around it are the caller's.
template <class G, int kCount, int kThreads>
FRAMESCORE_DEVICE void find_inverse_norms(std::uint32_t tile, std::uint32_t norms) {
  static_assert(kCount % (kThreads / 8) == 0);
  const int worker = static_cast<int>(threadIdx.x) % 8;
#pragma unroll
  for (int first = 0; first < kCount; first += kThreads / 8) {
    const int row = first + static_cast<int>(threadIdx.x) / 8;
    float squares = 0;
#pragma unroll
    for (int chunk = worker; chunk < G::Rows::kChunks; chunk += 8) {
      squares +=
          square_sum<typename G::Element>(load_shared<uint4>(tile + G::Rows::offset(row, chunk)));
    }
    squares += shuffle_xor(squares, 1);
    squares += shuffle_xor(squares, 2);
    squares += shuffle_xor(squares, 4);
    if (worker == 0) store_shared(norms + 4 * row, inverse_norm(squares));
  }
}

// What the epilogue reads and writes, at row 0 of a block's tile.
struct ChannelRows {
  const float* gamma;
  const float* beta;
  const char* residual;  // or null
  char* out;
  int residual_bytes;  // from a row to the next
  int out_bytes;
  float epsilon;
};

// Columns c and c + 1 of a row; only c when kPositions ends there.
template <class G>
FRAMESCORE_DEVICE bool is_pair(int column) {
  return G::kPositions % 2 == 0 || column + 1 < G::kPositions;
}

template <class G>
FRAMESCORE_DEVICE float2 load_floats(const float* row, int column) {
  if (is_pair<G>(column)) return load_global<float2>(row + column);
  return {load_global<float>(row + column), 0};
}

template <class G>
FRAMESCORE_DEVICE float2 load_elements(const char* row, int column) {
  using T = typename G::Element;
  if (is_pair<G>(column)) return unpack<T>(load_global<std::uint32_t>(row + 2 * column));
  return unpack<T>(load_global<std::uint16_t>(row + 2 * column));
}

template <class G>
FRAMESCORE_DEVICE void store_elements(char* row, int column, float2 value) {
  const std::uint32_t pair = pack<typename G::Element>(value.x, value.y);
  if (is_pair<G>(column)) {
    store_global(row + 2 * column, pair);
  } else {
    store_global(row + 2 * column, static_cast<std::uint16_t>(pair));
  }
}

FRAMESCORE_DEVICE float quad_sum(float x) {
  x += shuffle_xor(x, 1);
  return x + shuffle_xor(x, 2);
}

// Half of a fragment's rows: row lane/4 + 8 * i of 16. Values are kept in place.
template <class G>
struct RowOfFragment {
  Fragment (&value)[G::kBlocks];
  int i;

  FRAMESCORE_DEVICE int column(int n) const { return 8 * n + 2 * (lane_id() % 4); }
  FRAMESCORE_DEVICE float& at(int n, int e) const { return value[n][2 * i + e]; }

  // Divides by the sum of the weights, which stands in the column of ones.
  FRAMESCORE_DEVICE void divide() const {
    const float mine = at(G::kOnes / 8, G::kOnes % 2);
    const float inverse = 1.0f / shuffle_from(mine, (lane_id() & ~3) | (G::kOnes % 8 / 2));
#pragma unroll
    for (int n = 0; n < G::kBlocks; ++n) {
      at(n, 0) *= inverse;
      at(n, 1) *= inverse;
    }
  }

  // Mean 0 and variance 1 over kPositions columns, in two passes as both lie in registers.
  FRAMESCORE_DEVICE void normalise(float epsilon) const {
    const float mean = quad_sum(sum_of([](float x) { return x; })) / G::kPositions;
    const auto squared = [mean](float x) { return (x - mean) * (x - mean); };
    const float variance = quad_sum(sum_of(squared)) / G::kPositions;
    const float scale = inverse_sqrt(variance + epsilon);
#pragma unroll
    for (int n = 0; n < G::kBlocks; ++n) {
      at(n, 0) = (at(n, 0) - mean) * scale;
      at(n, 1) = (at(n, 1) - mean) * scale;
    }
  }

  template <class F>
  FRAMESCORE_DEVICE float sum_of(F term) const {
    float sum = 0;
#pragma unroll
    for (int n = 0; n < G::kBlocks; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const bool counts = 8 * n + 7 < G::kPositions || column(n) + e < G::kPositions;
        sum += counts ? term(at(n, e)) : 0.0f;
      }
    }
    return sum;
  }

  FRAMESCORE_DEVICE void write(const ChannelRows& rows, int row) const {
#pragma unroll
    for (int n = 0; n < G::kBlocks; ++n) {
      const int c = column(n);
      if (c >= G::kPositions) continue;
      float2 y{at(n, 0), at(n, 1)};
      if (rows.gamma != nullptr) {
        const float2 gamma = load_floats<G>(rows.gamma, c), beta = load_floats<G>(rows.beta, c);
        y = {y.x * gamma.x + beta.x, y.y * gamma.y + beta.y};
      }
      if (rows.residual != nullptr) {
        const float2 x = load_elements<G>(rows.residual + row * rows.residual_bytes, c);
        y = {y.x + x.x, y.y + x.y};
      }
      store_elements<G>(rows.out + row * rows.out_bytes, c, y);
    }
  }
};

// From weighted sums to the output, for the 16 rows of a warp.
template <class G>
FRAMESCORE_DEVICE void finish_rows(Fragment (&sums)[G::kBlocks], const ChannelRows& rows,
                                   int first_row) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const RowOfFragment<G> row{sums, i};
    row.divide();
    if (rows.gamma != nullptr) row.normalise(rows.epsilon);
    row.write(rows, first_row + lane_id() / 4 + 8 * i);
  }
}

}  // namespace framescore::kernels::device
