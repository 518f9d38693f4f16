// attention/online_softmax.cuh: softmax over keys that arrive tile by tile, and its product with V.
//
// One warp holds 16 * kRowBlocks query rows. Rows lie in registers as mma leaves them: a lane has
// rows lane/4 and lane/4 + 8 of each block of 16, and columns 8n + 2*(lane%4), +1. So two lanes
// apart by 1 or 2 share a row, and the scores of 16 keys are, packed, the A operand of the next
// product: probabilities never touch shared memory.
#pragma once

#include "device/tile.cuh"

namespace framescore::kernels::device {

// Below every score, and finite: a row that has seen no key yet must not give infinity - infinity.
// A masked score is -infinity, whose weight is 0 against it.
constexpr float kNoMaximum = -1e20f;
constexpr float kMasked = -__builtin_huge_valf();

FRAMESCORE_DEVICE float row_sum(float x) {
  x += shuffle_xor(x, 1);
  return x + shuffle_xor(x, 2);
}

FRAMESCORE_DEVICE float row_maximum(float x) {
  x = larger(x, shuffle_xor(x, 1));
  return larger(x, shuffle_xor(x, 2));
}

// Scores of 16 rows by 8 keys, or outputs of 16 rows by 8 columns.
using Fragment = float[4];

template <int kRowBlocks, int kDim>
struct OnlineSoftmax {
  Fragment output[kRowBlocks][kDim / 8];  // sum of weight * V, relative to `maximum`
  float maximum[kRowBlocks][2];           // of the scores so far
  float sum[kRowBlocks][2];               // of this lane's weights; its quad has the rest

  FRAMESCORE_DEVICE void clear() {
#pragma unroll
    for (int m = 0; m < kRowBlocks; ++m) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        maximum[m][i] = kNoMaximum;
        sum[m][i] = 0;
      }
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) output[m][n][e] = 0;
      }
    }
  }

  // Turns scores into weights 2^(coefficient * (score - maximum)) and rescales what came before.
  template <int kKeys>
  FRAMESCORE_DEVICE void weigh(Fragment (&scores)[kRowBlocks][kKeys / 8], float coefficient) {
#pragma unroll
    for (int m = 0; m < kRowBlocks; ++m) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float tile_maximum = scores[m][0][2 * i];
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
          tile_maximum = larger(tile_maximum, larger(scores[m][n][2 * i], scores[m][n][2 * i + 1]));
        }
        const float updated = larger(maximum[m][i], row_maximum(tile_maximum));
        const float shrink = exp2_fast((maximum[m][i] - updated) * coefficient);
        const float offset = updated * coefficient;
        maximum[m][i] = updated;
        float tile_sum = 0;
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
          for (int e = 2 * i; e < 2 * i + 2; ++e) {
            scores[m][n][e] = exp2_fast(scores[m][n][e] * coefficient - offset);
            tile_sum += scores[m][n][e];
          }
        }
        sum[m][i] = sum[m][i] * shrink + tile_sum;
#pragma unroll
        for (int n = 0; n < kDim / 8; ++n) {
          output[m][n][2 * i] *= shrink;
          output[m][n][2 * i + 1] *= shrink;
        }
      }
    }
  }

  // Adds weights [16 * kRowBlocks, kKeys] times V, whose rows start at value_row of the tile.
  // Blocks of 16 keys from valid_keys on are passed over.
  template <class T, bool kRagged, int kKeys>
  FRAMESCORE_DEVICE void add_values(const Fragment (&weights)[kRowBlocks][kKeys / 8],
                                    std::uint32_t value_tile, int value_row, int valid_keys) {
#pragma unroll
    for (int j = 0; j < kKeys / 16; ++j) {
      if (kRagged && 16 * j >= valid_keys) break;
      std::uint32_t left[kRowBlocks][4];
#pragma unroll
      for (int m = 0; m < kRowBlocks; ++m) {
        left[m][0] = pack<T>(weights[m][2 * j][0], weights[m][2 * j][1]);
        left[m][1] = pack<T>(weights[m][2 * j][2], weights[m][2 * j][3]);
        left[m][2] = pack<T>(weights[m][2 * j + 1][0], weights[m][2 * j + 1][1]);
        left[m][3] = pack<T>(weights[m][2 * j + 1][2], weights[m][2 * j + 1][3]);
      }
#pragma unroll
      for (int c = 0; c < kDim / 16; ++c) {
        std::uint32_t right[4];
        load_matrices_transposed(right,
                                 Tile<kDim * 2>::block_address(value_tile, value_row + 16 * j, c));
#pragma unroll
        for (int m = 0; m < kRowBlocks; ++m) {
          multiply_add<T>(output[m][2 * c], left[m], right[0], right[1]);
          multiply_add<T>(output[m][2 * c + 1], left[m], right[2], right[3]);
        }
      }
    }
  }
};

// Which of a warp's keys count, as bits: those before `tokens` that the mask keeps.
template <int kKeys>
struct KeptKeys {
  std::uint32_t word[(kKeys + 31) / 32];

  FRAMESCORE_DEVICE void find(const std::uint8_t* mask, int first_key, int tokens) {
#pragma unroll
    for (int w = 0; w < (kKeys + 31) / 32; ++w) {
      const int key = first_key + 32 * w + lane_id();
      bool kept = key < tokens;
      if (kept && mask != nullptr) kept = load_global<std::uint8_t>(mask + key) != 0;
      word[w] = ballot(kept);
    }
  }

  template <int kRowBlocks>
  FRAMESCORE_DEVICE void apply(Fragment (&scores)[kRowBlocks][kKeys / 8]) const {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      const std::uint32_t bits = word[n / 4] >> (8 * n % 32 + 2 * (lane_id() % 4));
#pragma unroll
      for (int m = 0; m < kRowBlocks; ++m) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          if ((bits >> (e % 2) & 1u) == 0) scores[m][n][e] = kMasked;
        }
      }
    }
  }
};

}  // namespace framescore::kernels::device
