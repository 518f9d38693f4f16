// device/primitives.cuh: every hardware operation our kernels use, once.
//
// Under nvcc each function is one PTX instruction; under a plain C++ compiler it is the emulation
// in tests/kernels/emulation, which checks what it is given (bounds, alignment, bank conflicts,
// races). Kernels touch memory through these functions only: what goes past them is not checked.
//
// Shared memory is addressed by 32-bit byte addresses, as the instructions take them; a kernel uses
// dynamic shared memory only and starts at shared_memory_base().
#pragma once

#include <cstdint>

namespace framescore::kernels::device {

// 16-bit storage: no arithmetic, no header of CUDA's.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

constexpr int kWarp = 32;

}  // namespace framescore::kernels::device

#if defined(__CUDACC__)
#include "device/primitives_ptx.cuh"
#else
#include "primitives_emulated.h"  // found by the include path of the tests
#endif
