// pixel_readers.h: one small reader per memory layout; the gathers are templates over them.
//
// A reader turns one pixel into "lanes": three 16-bit lanes in a 64-bit word, one per channel, so
// that a single addition accumulates all of them. Up to 257 pixels fit before a lane overflows.
// The Y'CbCr readers also give a pixel's three samples, for conversion by the row.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "framescore/preprocess.h"
#include "yuv.h"

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

// A Y'CbCr reader's lanes, as kRgbLanes has them.
inline Lanes lanes(const Rgb& pixel) {
  return static_cast<Lanes>(pixel.r) | static_cast<Lanes>(pixel.b) << 16 |
         static_cast<Lanes>(pixel.g) << 32;
}

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
  static YuvWord sample(const Row& row, std::ptrdiff_t offset) {
    const std::uint8_t* uv = row.uv + (offset & ~std::ptrdiff_t{1});
    return yuv_word(row.y[offset], uv[0], uv[1]);
  }
  Lanes read(const Row& row, std::ptrdiff_t offset) const {
    return lanes(convert(sample(row, offset)));
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
  static YuvWord sample(const Row& row, std::ptrdiff_t offset) {
    return yuv_word(row.y[offset], row.u[offset >> 1], row.v[offset >> 1]);
  }
  Lanes read(const Row& row, std::ptrdiff_t offset) const {
    return lanes(convert(sample(row, offset)));
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
  static YuvWord sample(Row row, std::ptrdiff_t offset) {
    const std::uint8_t* pair = row + (offset & ~std::ptrdiff_t{3});  // Y0 U Y1 V
    return yuv_word(row[offset], pair[1], pair[3]);
  }
  Lanes read(const Row& row, std::ptrdiff_t offset) const {
    return lanes(convert(sample(row, offset)));
  }

 private:
  const std::uint8_t* data_;
  std::ptrdiff_t stride_;
};

}  // namespace framescore
