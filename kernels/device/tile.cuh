// device/tile.cuh: tiles of rows in shared memory, swizzled so that ldmatrix meets no bank
// conflict.
//
// A tile is [rows, kRowBytes] in chunks of 16 bytes. ldmatrix reads one chunk of each of 8
// neighbouring rows at once, and those must lie in the 8 different 16-byte columns of the banks.
// Chunk c of row r therefore lies at place c ^ s(r), where s counts rows in steps of as many rows
// as it takes for the row pitch to come back to the same column. It stays within the row whatever
// its length, so rows need no padding: with p the largest power of two (<= 8) that divides the
// chunks of a row, s(r) = r / (8 / p) % p.
#pragma once

#include "device/primitives.cuh"

namespace framescore::kernels::device {

FRAMESCORE_DEVICE int lane_id() { return static_cast<int>(threadIdx.x) % kWarp; }

// By way of a shuffle the compiler learns that all lanes have the same.
FRAMESCORE_DEVICE int warp_id() { return shuffle_from(static_cast<int>(threadIdx.x) / kWarp, 0); }

constexpr int largest_power_of_two(int n) {
  return n % 8 == 0 ? 8 : n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1;
}

template <int kRowBytes_>
struct Tile {
  static_assert(kRowBytes_ % 16 == 0);
  static constexpr int kRowBytes = kRowBytes_;
  static constexpr int kChunks = kRowBytes / 16;
  static constexpr int kSpread = largest_power_of_two(kChunks);

  // Bytes from the tile's start to a chunk of a row.
  static FRAMESCORE_DEVICE std::uint32_t offset(int row, int chunk) {
    const int place = chunk ^ (row / (8 / kSpread) % kSpread);
    return static_cast<std::uint32_t>(row * kRowBytes + place * 16);
  }

  // Starts copying kRows rows by kThreads threads. Rows from valid_rows on become zero, and so do
  // the bytes from valid_bytes on of each row; neither is read.
  //
  // A thread keeps its chunk and walks down the rows with one pointer: addresses worked out for
  // each row apart would be kept in registers across the whole kernel.
  template <int kRows, int kThreads>
  static FRAMESCORE_DEVICE void copy(std::uint32_t tile, const char* global, int stride_bytes,
                                     int valid_rows, int valid_bytes = kRowBytes) {
    constexpr int kFit = kThreads / kChunks;                  // rows that find a thread a chunk
    constexpr int kAtOnce = kFit >= 8 ? kFit / 8 * 8 : kFit;  // so that the swizzle repeats
    const int thread = keep_in_loop(static_cast<int>(threadIdx.x));
    const int first_row = thread / kChunks, chunk = thread % kChunks;
    if (kAtOnce * kChunks < kThreads && first_row >= kAtOnce) return;
    const int left = valid_bytes - chunk * 16;
    const int bytes = left < 0 ? 0 : left > 16 ? 16 : left;
    const char* source = global + first_row * stride_bytes + chunk * 16;
    const int step_bytes = keep_in_loop(kAtOnce * stride_bytes);
#pragma unroll 4
    for (int passed = 0; passed < kRows; passed += kAtOnce) {
      const int row = passed + first_row;
      if (kRows % kAtOnce != 0 && row >= kRows) break;
      const bool exists = row < valid_rows;
      copy_async_16(tile + offset(row, chunk), exists ? source : global, exists ? bytes : 0);
      source += step_bytes;
    }
  }

  // The 16x16 block of 16-bit elements at (row, 2 * column_block chunks) as an A operand;
  // transposed, two B operands (r[0], r[1]) and (r[2], r[3]) whose k runs over the rows.
  static FRAMESCORE_DEVICE std::uint32_t block_address(std::uint32_t tile, int row,
                                                       int column_block) {
    return tile + offset(row + lane_id() % 16, 2 * column_block + lane_id() / 16);
  }

  // The same block as two B operands whose k runs along the rows: (r[0], r[1]) of rows 0..7 and
  // (r[2], r[3]) of rows 8..15.
  static FRAMESCORE_DEVICE std::uint32_t paired_address(std::uint32_t tile, int row,
                                                        int column_block) {
    return tile +
           offset(row + lane_id() / 16 * 8 + lane_id() % 8, 2 * column_block + lane_id() / 8 % 2);
  }
};

}  // namespace framescore::kernels::device
