#include "c_abi.h"
#include "device/launch.cuh"
#include "framescore/kernels/status.h"

// A status in words.
FRAMESCORE_C const char* framescore_describe_status(int status) {
  return kernels::to_string(static_cast<kernels::Status>(status));
}

// Where tensors must lie, as DLPack's device type: 2 is CUDA, 1 the host (under emulation).
FRAMESCORE_C int framescore_memory() {
#if defined(__CUDACC__)
  return 2;
#else
  return 1;
#endif
}

// What CUDA last complained of on this thread, in its words; forgets it.
FRAMESCORE_C const char* framescore_take_cuda_error() {
#if defined(__CUDACC__)
  return cudaGetErrorString(cudaGetLastError());
#else
  return emulation::report().message;
#endif
}
