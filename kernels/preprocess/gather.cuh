// gather.cuh: the kernel that writes every view of a frame.
//
// Blocks are dealt out to the views; within a view
//   fragments, crops: a thread copies four neighbouring output pixels, 12 bytes in three stores;
//   resize:           four lanes share an output pixel, lane k summing the samples of tap column k,
//                     so that a warp's loads run along a source row instead of jumping by pixels.
#pragma once

#include <cstdint>

#include "pixel_readers.cuh"

namespace framescore::kernels {

using device::shuffle_xor;
using device::store_global;

inline constexpr int kGatherThreads = 256;
inline constexpr int kTaps = 4;    // samples per output pixel along each axis of a resize
inline constexpr int kPerRun = 4;  // output pixels a thread copies for fragments and crops

// One view as the kernel sees it: its output is [pixels / width, width, 3].
struct GatherView {
  ViewKind kind;
  int first_block;    // of the grid
  int pixels, width;  // of the output
  int grid, size;     // windows only: windows along each axis, pixels along a window's side
  bool words;         // out lies at a multiple of 4
  std::uint8_t* out;
};

struct GatherParams {
  Source source;
  int count;
  GatherView view[kMaxViews];
};

struct Position {
  int x, y;  // of a pixel in the frame
};

// Where window i of `count` starts along an axis of n pixels; a single window is centred.
FRAMESCORE_DEVICE int window_start(int i, int count, int n, int size) {
  return count == 1 ? (n - size) / 2 : i * (n - size) / (count - 1);
}

// The frame's pixel that output pixel `index` of spliced fragments or stacked crops shows.
FRAMESCORE_DEVICE Position window_position(const GatherView& view, const Source& from, int index) {
  const int row = index / view.width, column = index % view.width;
  int i = row / view.size, j = column / view.size;
  if (view.kind == ViewKind::kCrops) {  // crop number i lies at row i / grid of the grid
    j = i % view.grid;
    i = i / view.grid;
  }
  return {window_start(j, view.grid, from.width, view.size) + column % view.size,
          window_start(i, view.grid, from.height, view.size) + row % view.size};
}

// Sample s of `count` evenly spaced ones along an axis of n pixels. n <= 2^15 and count <= 2^16, so
// 32 bits hold the product.
FRAMESCORE_DEVICE int sample_position(unsigned s, unsigned count, unsigned n) {
  return static_cast<int>((2 * s + 1) * n / (2 * count));
}

// Twelve bytes, the pixels of a run, in the order they are stored (little-endian words).
struct Run {
  std::uint32_t word[3] = {};

  FRAMESCORE_DEVICE void set(int byte, int value) {
    word[byte / 4] |= static_cast<std::uint32_t>(value) << byte % 4 * 8;
  }
};

FRAMESCORE_DEVICE void store(const Run& run, int pixels, bool words, std::uint8_t* out) {
  if (words && pixels == kPerRun) {
    for (int i = 0; i < 3; ++i) store_global(out + 4 * i, run.word[i]);
    return;
  }
  for (int i = 0; i < 3 * kPerRun; ++i) {
    if (i < 3 * pixels) {
      store_global(out + i, static_cast<std::uint8_t>(run.word[i / 4] >> i % 4 * 8));
    }
  }
}

template <class Reader>
FRAMESCORE_DEVICE void copy_run(const GatherView& view, const Source& from, int thread) {
  const int first = thread * kPerRun;
  if (first >= view.pixels) return;
  const int pixels = view.pixels - first < kPerRun ? view.pixels - first : kPerRun;
  const bool one_row = view.size % kPerRun == 0;  // of a window: then no run crosses its edge
  Run run;
  Position at{};
#pragma unroll
  for (int p = 0; p < kPerRun; ++p) {
    if (p >= pixels) break;
    if (p == 0 || !one_row) {
      at = window_position(view, from, first + p);
    } else {
      ++at.x;
    }
    const Rgb rgb = Reader::read(from, at.x, at.y);
    run.set(3 * p, rgb.r);
    run.set(3 * p + 1, rgb.g);
    run.set(3 * p + 2, rgb.b);
  }
  store(run, pixels, view.words, view.out + std::int64_t{3} * first);
}

template <class Reader>
FRAMESCORE_DEVICE void average_taps(const GatherView& view, const Source& from, int thread) {
  const bool inside = thread / kTaps < view.pixels;  // every lane takes part in the shuffles
  const int index = inside ? thread / kTaps : view.pixels - 1;
  const int tap = thread % kTaps;
  const int height = view.pixels / view.width;
  const int i = index / view.width, j = index % view.width;
  const int x = sample_position(j * kTaps + tap, view.width * kTaps, from.width);
  std::uint32_t red_blue = 0, green = 0;  // red in the low half, blue in the high half
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    const int y = sample_position(i * kTaps + k, height * kTaps, from.height);
    const Rgb rgb = Reader::read(from, x, y);
    red_blue += static_cast<std::uint32_t>(rgb.r) | static_cast<std::uint32_t>(rgb.b) << 16;
    green += static_cast<std::uint32_t>(rgb.g);
  }
#pragma unroll
  for (int lanes = 1; lanes < kTaps; lanes *= 2) {
    red_blue += shuffle_xor(red_blue, lanes);
    green += shuffle_xor(green, lanes);
  }
  if (!inside || tap == 3) return;
  const std::uint32_t sum = tap == 0 ? red_blue & 0xFFFF : tap == 1 ? green : red_blue >> 16;
  const std::uint32_t mean = (sum + kTaps * kTaps / 2) / (kTaps * kTaps);
  store_global(view.out + std::int64_t{3} * index + tap, static_cast<std::uint8_t>(mean));
}

template <class Reader>
__global__ void __launch_bounds__(kGatherThreads) gather_kernel(const GatherParams params) {
  int number = 0;
  while (number + 1 < params.count &&
         static_cast<int>(blockIdx.x) >= params.view[number + 1].first_block) {
    ++number;
  }
  const GatherView& view = params.view[number];
  const int thread = (blockIdx.x - view.first_block) * kGatherThreads + threadIdx.x;
  if (view.kind == ViewKind::kResize) {
    average_taps<Reader>(view, params.source, thread);
  } else {
    copy_run<Reader>(view, params.source, thread);
  }
}

}  // namespace framescore::kernels
