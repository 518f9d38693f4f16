// framescore/preprocess.h: from a decoded frame to the uint8 RGB views a quality model reads.
//
// The Python module sdk/preprocess.py defines what these functions compute; they equal it bit for
// bit. A frame is never converted as a whole: each function reads the samples its view needs and
// converts those, so its cost depends on the view and not on the frame.
//
// All functions are re-entrant, allocate only small index tables, start no threads, and read no
// byte outside the rows an ImageView describes. They do not check their arguments: see each
// precondition.
#pragma once

#include <cstddef>
#include <cstdint>

namespace framescore {

// How a frame's samples lie in memory. 4:2:0 and 4:2:2 chroma belongs to the pixels it covers
// (nearest chroma), so that converting commutes with picking pixels.
enum class PixelFormat : int {
  kBgr,   // plane 0: [height, width, 3]
  kRgb,   // plane 0: [height, width, 3]
  kGray,  // plane 0: [height, width]
  kBgra,  // plane 0: [height, width, 4], alpha ignored
  kRgba,  // plane 0: [height, width, 4], alpha ignored
  kNv12,  // plane 0: Y [height, width]; plane 1: UV interleaved [height/2, width/2, 2]
  kI420,  // plane 0: Y [height, width]; planes 1, 2: U, V [height/2, width/2]
  kYuyv,  // plane 0: [height, width/2, 4] = Y0 U Y1 V
};

// The luma weights Y'CbCr samples were made with (ITU-R BT.601 or BT.709).
enum class ColorMatrix : int { kBt601, kBt709 };

// A frame that somebody else owns. Pixels within a row are packed; rows may be padded.
struct ImageView {
  PixelFormat format;
  int width;   // pixels, >= 1; even for NV12, I420 and YUYV
  int height;  // pixels, >= 1; even for NV12 and I420

  const std::uint8_t* plane[3];  // first sample of row 0 of each plane the format has
  std::ptrdiff_t stride[3];      // bytes from one row to the next; negative for bottom-up frames

  ColorMatrix matrix;  // NV12, I420, YUYV only
  bool full_range;     // NV12, I420, YUYV only: Y spans 0..255 rather than 16..235
};

// Writes grid x grid patches of patch x patch pixels at native resolution, evenly spaced and
// spliced in order.
//
//   out: [grid*patch, grid*patch, 3] RGB, packed.
//
// Precondition: grid >= 1; 1 <= patch <= min(width, height). grid == 1 takes the centre patch.
void gather_fragments(const ImageView& image, int grid, int patch, std::uint8_t* out);

// Brings the whole frame to out_height x out_width: each output pixel is the rounded mean of
// taps x taps evenly spaced samples, whatever the frame's size.
//
//   out: [out_height, out_width, 3] RGB, packed.
//
// Precondition: out_height, out_width >= 1; 1 <= taps <= 16 (sums are kept in 16 bits).
void gather_resize(const ImageView& image, int out_height, int out_width, int taps,
                   std::uint8_t* out);

// Writes grid x grid evenly spaced crops of size x size pixels, row by row.
//
//   out: [grid*grid, size, size, 3] RGB, packed.
//
// Precondition: grid >= 1; 1 <= size <= min(width, height). grid == 1 takes the centre crop.
void gather_crops(const ImageView& image, int grid, int size, std::uint8_t* out);

}  // namespace framescore
