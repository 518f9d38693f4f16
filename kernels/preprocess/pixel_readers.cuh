// pixel_readers.cuh: one small reader per memory layout; the gathers are templates over them.
#pragma once

#include <cstdint>

#include "device/primitives.cuh"
#include "framescore/kernels/preprocess.h"

namespace framescore::kernels {

using device::load_global;

struct Rgb {
  int r, g, b;  // 0..255
};

// Luma scaled by 2^7 and chroma by 2^6, as in sdk/preprocess.py.
struct YuvCoefficients {
  int y_offset, y, v_to_r, u_to_g, v_to_g, u_to_b;
};

constexpr int fixed_point(double value, int bits) {
  return static_cast<int>(value * (1 << bits) + 0.5);
}

// From the luma weights Kr and Kb of an ITU-R recommendation.
constexpr YuvCoefficients yuv_coefficients(ColorMatrix matrix, bool full_range) {
  const double kr = matrix == ColorMatrix::kBt601 ? 0.299 : 0.2126;
  const double kb = matrix == ColorMatrix::kBt601 ? 0.114 : 0.0722;
  const double kg = 1.0 - kr - kb;
  const double luma = full_range ? 1.0 : 255.0 / 219.0;
  const double chroma = full_range ? 2.0 : 2.0 * 255.0 / 224.0;
  return {full_range ? 0 : 16,
          fixed_point(luma, 7),
          fixed_point(chroma * (1.0 - kr), 6),
          fixed_point(chroma * (1.0 - kb) * kb / kg, 6),
          fixed_point(chroma * (1.0 - kr) * kr / kg, 6),
          fixed_point(chroma * (1.0 - kb), 6)};
}

// What every reader reads from.
struct Source {
  const std::uint8_t* plane[3];
  std::int64_t stride[3];  // bytes
  int width, height;       // pixels
  YuvCoefficients yuv;

  FRAMESCORE_DEVICE const std::uint8_t* row(int index, int y) const {
    return plane[index] + y * stride[index];
  }
};

FRAMESCORE_DEVICE int clip_to_byte(int value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

FRAMESCORE_DEVICE Rgb rgb_from_yuv(const YuvCoefficients& k, int y, int u, int v) {
  const int above_black = y > k.y_offset ? y - k.y_offset : 0;
  const int luma = (above_black * k.y >> 1) + 32;  // 32: half of what >> 6 drops
  const int cb = u - 128, cr = v - 128;
  return {clip_to_byte((luma + k.v_to_r * cr) >> 6),
          clip_to_byte((luma - k.u_to_g * cb - k.v_to_g * cr) >> 6),
          clip_to_byte((luma + k.u_to_b * cb) >> 6)};
}

FRAMESCORE_DEVICE int byte_at(const std::uint8_t* address) {
  return load_global<std::uint8_t>(address);
}

// BGR, RGB (kBytes == 3), BGRA, RGBA (kBytes == 4); kRed is where red lies in a pixel: 0 or 2.
template <int kBytes, int kRed>
struct PackedReader {
  FRAMESCORE_DEVICE static Rgb read(const Source& from, int x, int y) {
    const std::uint8_t* pixel = from.row(0, y) + x * kBytes;
    return {byte_at(pixel + kRed), byte_at(pixel + 1), byte_at(pixel + 2 - kRed)};
  }
};

struct GrayReader {
  FRAMESCORE_DEVICE static Rgb read(const Source& from, int x, int y) {
    const int level = byte_at(from.row(0, y) + x);
    return {level, level, level};
  }
};

struct Nv12Reader {
  FRAMESCORE_DEVICE static Rgb read(const Source& from, int x, int y) {
    const std::uint8_t* uv = from.row(1, y >> 1) + (x & ~1);
    return rgb_from_yuv(from.yuv, byte_at(from.row(0, y) + x), byte_at(uv), byte_at(uv + 1));
  }
};

struct I420Reader {
  FRAMESCORE_DEVICE static Rgb read(const Source& from, int x, int y) {
    const int u = byte_at(from.row(1, y >> 1) + (x >> 1));
    const int v = byte_at(from.row(2, y >> 1) + (x >> 1));
    return rgb_from_yuv(from.yuv, byte_at(from.row(0, y) + x), u, v);
  }
};

struct YuyvReader {
  FRAMESCORE_DEVICE static Rgb read(const Source& from, int x, int y) {
    const std::uint8_t* row = from.row(0, y);
    const std::uint8_t* pair = row + (x & ~1) * 2;  // Y0 U Y1 V
    return rgb_from_yuv(from.yuv, byte_at(row + 2 * x), byte_at(pair + 1), byte_at(pair + 3));
  }
};

}  // namespace framescore::kernels
