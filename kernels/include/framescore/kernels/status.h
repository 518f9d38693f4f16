// framescore/kernels/status.h: what every launch function returns, and the element types they take.
#pragma once

namespace framescore::kernels {

// Launch functions check their arguments and never crash on bad ones; kOk means the work was put
// on the stream, not that it has finished. Values are stable: they may be stored or logged.
enum class Status : int {
  kOk = 0,
  kNullPointer = 1,      // a pointer that this call needs is null
  kBadShape = 2,         // a size, stride or scale lies outside the documented range
  kBadType = 3,          // the element type is not one this kernel is built for
  kMisaligned = 4,       // a pointer or stride misses the documented alignment
  kUnsupportedTile = 5,  // this tile is not built for this head dimension, or needs more shared
                         // memory than the device has
  kNoKernelImage = 6,    // the library holds no code for this device
  kLaunchFailed = 7,     // CUDA refused the launch: cudaPeekAtLastError() says why
};

// Says a status in words that need no header at hand.
inline const char* to_string(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kNullPointer:
      return "a required pointer is null";
    case Status::kBadShape:
      return "a size, stride or scale is out of range";
    case Status::kBadType:
      return "the kernel is not built for this element type";
    case Status::kMisaligned:
      return "a pointer or stride is not aligned as documented";
    case Status::kUnsupportedTile:
      return "the tile is not built for this head dimension or does not fit this device";
    case Status::kNoKernelImage:
      return "no code for this device";
    case Status::kLaunchFailed:
      return "CUDA refused the launch";
  }
  return "unknown status";
}

// Element type of a tensor in device memory.
enum class DataType : int {
  kFloat16 = 0,
  kBFloat16 = 1,
};

}  // namespace framescore::kernels
