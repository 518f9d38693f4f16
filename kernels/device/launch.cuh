// device/launch.cuh: launches a kernel and turns CUDA's errors into a Status; asks about the
// device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/primitives.cuh"
#include "framescore/kernels/status.h"

#if defined(__CUDACC__)
#include <atomic>
#endif

namespace framescore::kernels::device {

constexpr std::size_t kPortableSharedBytes = 48 * 1024;  // what a launch may ask for unasked

// What the choice of a tile depends on.
struct DeviceLimits {
  int multiprocessors;
  int shared_bytes_per_block;  // with opt-in
};

#if defined(__CUDACC__)

inline DeviceLimits current_device_limits() {
  int id = 0;
  DeviceLimits limits{1, static_cast<int>(kPortableSharedBytes)};
  cudaGetDevice(&id);
  cudaDeviceGetAttribute(&limits.multiprocessors, cudaDevAttrMultiProcessorCount, id);
  cudaDeviceGetAttribute(&limits.shared_bytes_per_block, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                         id);
  return limits;
}

inline Status status_of(cudaError_t error) {
  if (error == cudaSuccess) return Status::kOk;
  const bool no_image =
      error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction;
  return no_image ? Status::kNoKernelImage : Status::kLaunchFailed;
}

// Opts in to more than 48 KB once for each kernel and device. It is no stream operation: allowed
// while a graph is captured.
template <auto kernel>
Status allow_shared_bytes(std::size_t bytes) {
  static std::atomic<std::uint64_t> done{0};  // a bit for each device
  if (bytes <= kPortableSharedBytes) return Status::kOk;
  int id = 0;
  cudaGetDevice(&id);
  const std::uint64_t bit = std::uint64_t{1} << (id & 63);
  if (done.load() & bit) return Status::kOk;
  const cudaError_t error = cudaFuncSetAttribute(
      kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (error == cudaSuccess) done.fetch_or(bit);
  return status_of(error);
}

template <auto kernel, class... Arguments>
Status launch(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
              const Arguments&... arguments) {
  const Status allowed = allow_shared_bytes<kernel>(shared_bytes);
  if (allowed != Status::kOk) return allowed;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  // Not kernel<<<>>> and the last error: that may be an earlier one, of somebody else's call.
  return status_of(cudaLaunchKernelEx(&config, kernel, arguments...));
}

#else

inline DeviceLimits current_device_limits() {
  return {emulation::device.multiprocessors, emulation::device.shared_bytes_per_block};
}

template <auto kernel, class... Arguments>
Status launch(dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t,
              const Arguments&... arguments) {
  const bool fits =
      shared_bytes <= static_cast<std::size_t>(emulation::device.shared_bytes_per_block);
  const bool done =
      fits && emulation::run(grid, block, shared_bytes, [&] { kernel(arguments...); });
  return done ? Status::kOk : Status::kLaunchFailed;
}

#endif

}  // namespace framescore::kernels::device
