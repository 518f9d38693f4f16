// ldmatrix and mma of one warp, with the fragment layouts of the PTX manual.
#pragma once

#include <cstdint>

namespace emulation {

struct MatrixLoad {
  std::uint32_t* registers;
  std::uint32_t address;
  int count;  // matrices: 1, 2 or 4
  bool transposed;
};
void load_matrices(MatrixLoad& mine);

enum class Elements { kHalf, kBFloat16 };
struct Multiply {
  float* c;
  const std::uint32_t* a;
  std::uint32_t b[2];
};
void multiply_add(Multiply& mine, Elements elements);

struct MultiplyInt8 {
  int* c;
  const std::uint32_t* a;
  std::uint32_t b[2];
};
void multiply_add_int8(MultiplyInt8& mine);

}  // namespace emulation
