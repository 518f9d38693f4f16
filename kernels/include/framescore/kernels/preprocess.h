// framescore/kernels/preprocess.h: from a decoded frame in device memory to every view a quality
// model reads, in one launch.
//
// The Python module sdk/preprocess.py defines what is computed; the kernel equals it bit for bit
// (all arithmetic is in integers). A frame is never converted as a whole: each output pixel reads
// the samples it needs, so the time depends on the views and hardly on the frame.
//
// The header is independent of cpp/include/framescore/preprocess.h, whose enumerators have the same
// values: the source distribution ships the CPU path without this folder.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "framescore/kernels/status.h"

namespace framescore::kernels {

// How a frame's samples lie in memory. 4:2:0 and 4:2:2 chroma belongs to the pixels it covers.
enum class PixelFormat : std::int32_t {
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
enum class ColorMatrix : std::int32_t { kBt601, kBt709 };

// A frame in device memory. Pixels within a row are packed, rows may be padded (decoders' pitch);
// nothing need be aligned, and no byte outside the rows is read.
struct DeviceFrame {
  PixelFormat format;
  std::int32_t width;   // pixels, 1..32768; even for NV12, I420 and YUYV
  std::int32_t height;  // pixels, 1..32768; even for NV12 and I420

  ColorMatrix matrix;       // NV12, I420, YUYV only
  std::int32_t full_range;  // NV12, I420, YUYV only: Y spans 0..255 rather than 16..235

  const std::uint8_t* plane[3];  // first sample of row 0 of each plane the format has
  std::int64_t stride[3];        // bytes from one row to the next; negative for bottom-up frames
};

enum class ViewKind : std::int32_t { kFragments, kResize, kCrops };

// One view to write. `out` need not be aligned; at a multiple of 4 it is written faster.
//
//   kFragments  rows == columns patches of size x size   -> out [rows*size, columns*size, 3]
//   kResize     means of 4 x 4 samples, size unused      -> out [rows, columns, 3]
//   kCrops      rows == columns crops of size x size     -> out [rows*columns, size, size, 3]
//
// All RGB, packed. 1 <= rows, columns <= 16384; 1 <= size <= min(width, height) of the frame; at
// most 2^28 pixels.
struct ViewOutput {
  ViewKind kind;
  std::int32_t rows;
  std::int32_t columns;
  std::int32_t size;
  std::uint8_t* out;
};

inline constexpr int kMaxViews = 8;

// Writes `count` views (1..kMaxViews) of one frame. Asynchronous on `stream`, may be captured in a
// graph, allocates nothing. The outputs must not overlap each other or the frame.
//
// Returns another status than kOk, without launching, for what the limits above exclude.
Status launch_gather_views(const DeviceFrame& frame, const ViewOutput* views, int count,
                           cudaStream_t stream);

}  // namespace framescore::kernels
