// pixel_readers.h: one small reader per memory layout; the gathers are templates over them.
//
// A reader turns one pixel into "lanes": three 16-bit lanes in a 64-bit word, one per channel, so
// that a single addition accumulates all of them. Up to 257 pixels fit before a lane overflows.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "framescore/preprocess.h"

namespace framescore {

using Lanes = std::uint64_t;

// Where each channel lies in a reader's lanes, in bits.
struct LaneOrder {
  int r, g, b;
};

inline constexpr LaneOrder kRgbLanes{0, 32, 16};  // first byte of a pixel is red
inline constexpr LaneOrder kBgrLanes{16, 32, 0};  // first byte of a pixel is blue

// Bytes c0 c1 c2 x of a little-endian word -> lanes c0 (bit 0), c2 (bit 16), c1 (bit 32).
inline Lanes spread(std::uint32_t pixel) {
  const std::uint64_t wide = pixel;
  return (wide | wide << 24) & 0x000000FF00FF00FFull;
}

inline std::uint32_t load_u32(const std::uint8_t* address) {
  static_assert(std::endian::native == std::endian::little, "spread() expects little-endian words");
  std::uint32_t word;
  std::memcpy(&word, address, sizeof word);  // an unaligned load; memcpy is the portable spelling
  return word;
}

// BGR, RGB (kBytes == 3) and BGRA, RGBA (kBytes == 4).
template <int kBytes, LaneOrder kOrder>
struct PackedReader {
  static constexpr LaneOrder kLanes = kOrder;
  static constexpr int kPixelBytes = kBytes;
  // A 4-byte load of a 3-byte pixel touches one byte of its neighbour; the row's last pixel has
  // none.
  static constexpr bool kReadsNeighbour = kBytes == 3;

  using Row = const std::uint8_t*;
  explicit PackedReader(const ImageView& image) : data_(image.plane[0]), stride_(image.stride[0]) {}
  Row row(int y) const { return data_ + y * stride_; }
  static Lanes read(Row row, std::ptrdiff_t offset) { return spread(load_u32(row + offset)); }
  static Lanes read_last(Row row, std::ptrdiff_t offset) {
    const std::uint8_t* p = row + offset;
    return Lanes{p[0]} | Lanes{p[2]} << 16 | Lanes{p[1]} << 32;
  }

 private:
  const std::uint8_t* data_;
  std::ptrdiff_t stride_;
};

struct GrayReader {
  static constexpr LaneOrder kLanes = kRgbLanes;
  static constexpr int kPixelBytes = 1;
  static constexpr bool kReadsNeighbour = false;

  using Row = const std::uint8_t*;
  explicit GrayReader(const ImageView& image) : data_(image.plane[0]), stride_(image.stride[0]) {}
  Row row(int y) const { return data_ + y * stride_; }
  static Lanes read(Row row, std::ptrdiff_t offset) { return row[offset] * 0x0000000100010001ull; }

 private:
  const std::uint8_t* data_;
  std::ptrdiff_t stride_;
};

// Y'CbCr -> RGB in 16-bit fixed point; the formula is that of sdk/preprocess.py.
struct YuvCoefficients {
  int y_offset, y, v_to_r, u_to_g, v_to_g, u_to_b;
};

consteval int fixed16(double value) { return static_cast<int>(value * 65536.0 + 0.5); }

consteval YuvCoefficients yuv_coefficients(double kr, double kb, bool full_range) {
  const double kg = 1.0 - kr - kb;
  const double luma = full_range ? 1.0 : 255.0 / 219.0;
  const double chroma = full_range ? 2.0 : 2.0 * 255.0 / 224.0;
  return {full_range ? 0 : 16,
          fixed16(luma),
          fixed16(chroma * (1.0 - kr)),
          fixed16(chroma * (1.0 - kb) * kb / kg),
          fixed16(chroma * (1.0 - kr) * kr / kg),
          fixed16(chroma * (1.0 - kb))};
}

inline YuvCoefficients yuv_coefficients(const ImageView& image) {
  static constexpr YuvCoefficients kTable[2][2] = {
      {yuv_coefficients(0.299, 0.114, false), yuv_coefficients(0.299, 0.114, true)},
      {yuv_coefficients(0.2126, 0.0722, false), yuv_coefficients(0.2126, 0.0722, true)}};
  return kTable[static_cast<int>(image.matrix)][image.full_range ? 1 : 0];
}

// Shared by the three Y'CbCr layouts.
class YuvConverter {
 public:
  explicit YuvConverter(const ImageView& image) : k_(yuv_coefficients(image)) {}
  Lanes convert(int y, int u, int v) const {
    const int luma = std::max(y - k_.y_offset, 0) * k_.y + kHalf;
    const int cb = u - 128, cr = v - 128;
    const int r = luma + k_.v_to_r * cr;
    const int g = luma - k_.u_to_g * cb - k_.v_to_g * cr;
    const int b = luma + k_.u_to_b * cb;
    return channel(r) | channel(b) << 16 | channel(g) << 32;
  }

 private:
  static constexpr int kHalf = 1 << 15;
  static Lanes channel(int fixed) { return static_cast<Lanes>(std::clamp(fixed >> 16, 0, 255)); }
  YuvCoefficients k_;
};

struct Nv12Reader : YuvConverter {
  static constexpr LaneOrder kLanes = kRgbLanes;
  static constexpr int kPixelBytes = 1;
  static constexpr bool kReadsNeighbour = false;

  struct Row {
    const std::uint8_t *y, *uv;
  };
  explicit Nv12Reader(const ImageView& image) : YuvConverter(image), image_(image) {}
  Row row(int y) const {
    return {image_.plane[0] + y * image_.stride[0], image_.plane[1] + (y / 2) * image_.stride[1]};
  }
  Lanes read(Row row, std::ptrdiff_t offset) const {
    const std::uint8_t* uv = row.uv + (offset & ~std::ptrdiff_t{1});
    return convert(row.y[offset], uv[0], uv[1]);
  }

 private:
  ImageView image_;
};

struct I420Reader : YuvConverter {
  static constexpr LaneOrder kLanes = kRgbLanes;
  static constexpr int kPixelBytes = 1;
  static constexpr bool kReadsNeighbour = false;

  struct Row {
    const std::uint8_t *y, *u, *v;
  };
  explicit I420Reader(const ImageView& image) : YuvConverter(image), image_(image) {}
  Row row(int y) const {
    return {image_.plane[0] + y * image_.stride[0], image_.plane[1] + (y / 2) * image_.stride[1],
            image_.plane[2] + (y / 2) * image_.stride[2]};
  }
  Lanes read(Row row, std::ptrdiff_t offset) const {
    return convert(row.y[offset], row.u[offset / 2], row.v[offset / 2]);
  }

 private:
  ImageView image_;
};

struct YuyvReader : YuvConverter {
  static constexpr LaneOrder kLanes = kRgbLanes;
  static constexpr int kPixelBytes = 2;
  static constexpr bool kReadsNeighbour = false;

  using Row = const std::uint8_t*;
  explicit YuyvReader(const ImageView& image)
      : YuvConverter(image), data_(image.plane[0]), stride_(image.stride[0]) {}
  Row row(int y) const { return data_ + y * stride_; }
  Lanes read(Row row, std::ptrdiff_t offset) const {
    const std::uint8_t* pair = row + (offset & ~std::ptrdiff_t{3});  // Y0 U Y1 V
    return convert(row[offset], pair[1], pair[3]);
  }

 private:
  const std::uint8_t* data_;
  std::ptrdiff_t stride_;
};

}  // namespace framescore
