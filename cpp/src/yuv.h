// yuv.h: Y'CbCr to RGB in fixed point; the formula is that of sdk/preprocess.py.
//
// Luma is multiplied with 7 fractional bits and chroma with 6: the finest steps with which every
// intermediate value fits 16 bits, so that a vector unit converts eight pixels at once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "framescore/preprocess.h"

namespace framescore {

// One pixel's samples in a word, Y | U << 8 | V << 16: one store where three would be the
// bottleneck.
using YuvWord = std::uint32_t;

inline YuvWord yuv_word(std::uint8_t y, std::uint8_t u, std::uint8_t v) {
  return YuvWord{y} | YuvWord{u} << 8 | YuvWord{v} << 16;
}

struct Rgb {
  std::int16_t r, g, b;  // 0..255
};

struct YuvCoefficients {
  std::int16_t y_offset, y, v_to_r, u_to_g, v_to_g, u_to_b;
};

consteval std::int16_t fixed_point(double value, int bits) {
  return static_cast<std::int16_t>(value * (1 << bits) + 0.5);
}

// From the luma weights Kr and Kb of an ITU-R recommendation.
consteval YuvCoefficients yuv_coefficients(double kr, double kb, bool full_range) {
  const double kg = 1.0 - kr - kb;
  const double luma = full_range ? 1.0 : 255.0 / 219.0;
  const double chroma = full_range ? 2.0 : 2.0 * 255.0 / 224.0;
  return {static_cast<std::int16_t>(full_range ? 0 : 16),
          fixed_point(luma, 7),
          fixed_point(chroma * (1.0 - kr), 6),
          fixed_point(chroma * (1.0 - kb) * kb / kg, 6),
          fixed_point(chroma * (1.0 - kr) * kr / kg, 6),
          fixed_point(chroma * (1.0 - kb), 6)};
}

inline YuvCoefficients yuv_coefficients(const ImageView& image) {
  static constexpr YuvCoefficients kTable[2][2] = {
      {yuv_coefficients(0.299, 0.114, false), yuv_coefficients(0.299, 0.114, true)},
      {yuv_coefficients(0.2126, 0.0722, false), yuv_coefficients(0.2126, 0.0722, true)}};
  return kTable[static_cast<int>(image.matrix)][image.full_range ? 1 : 0];
}

class YuvConverter {
 public:
  explicit YuvConverter(const ImageView& image) : k_(yuv_coefficients(image)) {}

  Rgb convert(YuvWord word) const {
    const int y = word & 0xFF, u = word >> 8 & 0xFF, v = word >> 16 & 0xFF;
    // Around mid-grey, lest luma and chroma add up to more than 16 bits hold.
    const int above_black = std::max(y - k_.y_offset, 0);
    const auto luma =
        int16((static_cast<std::uint16_t>(above_black * k_.y) >> 1) + kHalf - kMidGrey);
    const auto cb = int16(u - 128), cr = int16(v - 128);
    const auto r = int16(luma + int16(cr * k_.v_to_r));
    const auto g = int16(luma - int16(cb * k_.u_to_g) - int16(cr * k_.v_to_g));
    const auto b = int16(luma + int16(cb * k_.u_to_b));
    return {channel(r), channel(g), channel(b)};
  }

 private:
  static constexpr int kHalf = 1 << 5;
  static constexpr int kMidGrey = 128 << 6;
  static std::int16_t int16(int value) { return static_cast<std::int16_t>(value); }
  static std::int16_t channel(std::int16_t fixed) {
    return std::clamp(int16((fixed >> 6) + 128), int16(0), int16(255));
  }
  YuvCoefficients k_;
};

}  // namespace framescore
