// What our kernels and their launch code need of CUDA's runtime, for a compiler without CUDA. It
// stands in for the header of the same name: put this folder on the include path.
#pragma once

#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  std::uint32_t x, y;
};
struct alignas(16) uint4 {
  std::uint32_t x, y, z, w;
};
struct uchar3 {
  unsigned char x, y, z;
};
struct alignas(4) uchar4 {
  unsigned char x, y, z, w;
};

using cudaStream_t = void*;

namespace emulation {

// The coordinates of the thread that is running.
struct Coordinates {
  dim3 thread, block, block_size, grid_size;
};
extern Coordinates here;

// The device that launch code is told it runs on.
struct Device {
  int multiprocessors = 16;
  int shared_bytes_per_block = 163 * 1024;
};
extern Device device;

}  // namespace emulation

#define threadIdx (::emulation::here.thread)
#define blockIdx (::emulation::here.block)
#define blockDim (::emulation::here.block_size)
#define gridDim (::emulation::here.grid_size)
