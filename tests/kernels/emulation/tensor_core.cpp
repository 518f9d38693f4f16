// ldmatrix and mma: see tensor_core.h. In every fragment, group = lane / 4 and four = lane % 4.
#include "tensor_core.h"

#include <cstring>
#include <vector>

#include "number_formats.h"
#include "shared_memory.h"
#include "simt.h"

namespace emulation {
namespace {

template <class T>
T& brought(void* const* lanes, int lane) {
  return *static_cast<T*>(lanes[lane]);
}

void execute_load(void* const* lanes) {
  const MatrixLoad& first = brought<MatrixLoad>(lanes, 0);
  const int warp_first = self().index - self().lane;
  ++mutable_report().matrix_loads;
  for (int j = 0; j < first.count; ++j) {
    std::uint32_t rows[8];
    std::uint16_t element[8][8];
    for (int row = 0; row < 8; ++row) {
      const int lane = j * 8 + row;
      rows[row] = brought<MatrixLoad>(lanes, lane).address;
      std::memcpy(element[row], shared_bytes(rows[row], 16, Access::kRead, warp_first + lane), 16);
    }
    note_matrix_banks(rows);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int group = lane / 4, pair = lane % 4 * 2;
      const std::uint32_t low = first.transposed ? element[pair][group] : element[group][pair];
      const std::uint32_t high =
          first.transposed ? element[pair + 1][group] : element[group][pair + 1];
      brought<MatrixLoad>(lanes, lane).registers[j] = high << 16 | low;
    }
  }
}

std::vector<float> make_half_table() {
  std::vector<float> table(65536);
  for (int i = 0; i < 65536; ++i) table[i] = half_to_float(static_cast<std::uint16_t>(i));
  return table;
}
const std::vector<float> half_value = make_half_table();

template <Elements elements>
float value_of(std::uint32_t pair, int high) {
  const auto bits = static_cast<std::uint16_t>(pair >> (16 * high));
  if constexpr (elements == Elements::kHalf) return half_value[bits];
  return bfloat16_to_float(bits);
}

template <Elements elements>
void execute_multiply(void* const* lanes) {
  float a[16][16], b[16][8], c[16][8];
  ++mutable_report().matrix_multiplies;
  for (int lane = 0; lane < kLanes; ++lane) {
    const Multiply& mine = brought<Multiply>(lanes, lane);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int high = 0; high < 2; ++high) {
      a[group][pair + high] = value_of<elements>(mine.a[0], high);
      a[group + 8][pair + high] = value_of<elements>(mine.a[1], high);
      a[group][pair + 8 + high] = value_of<elements>(mine.a[2], high);
      a[group + 8][pair + 8 + high] = value_of<elements>(mine.a[3], high);
      b[pair + high][group] = value_of<elements>(mine.b[0], high);
      b[pair + 8 + high][group] = value_of<elements>(mine.b[1], high);
      c[group][pair + high] = mine.c[high];
      c[group + 8][pair + high] = mine.c[2 + high];
    }
  }
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) c[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const Multiply& mine = brought<Multiply>(lanes, lane);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int high = 0; high < 2; ++high) {
      mine.c[high] = c[group][pair + high];
      mine.c[2 + high] = c[group + 8][pair + high];
    }
  }
}

int byte_of(std::uint32_t word, int index) { return static_cast<std::int8_t>(word >> (8 * index)); }

void execute_multiply_int8(void* const* lanes) {
  int a[16][32], b[32][8], c[16][8] = {};
  ++mutable_report().matrix_multiplies;
  for (int lane = 0; lane < kLanes; ++lane) {
    const MultiplyInt8& mine = brought<MultiplyInt8>(lanes, lane);
    const int group = lane / 4, four = lane % 4 * 4;
    for (int i = 0; i < 4; ++i) {
      a[group][four + i] = byte_of(mine.a[0], i);
      a[group + 8][four + i] = byte_of(mine.a[1], i);
      a[group][four + 16 + i] = byte_of(mine.a[2], i);
      a[group + 8][four + 16 + i] = byte_of(mine.a[3], i);
      b[four + i][group] = byte_of(mine.b[0], i);
      b[four + 16 + i][group] = byte_of(mine.b[1], i);
    }
  }
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < 32; ++k) {
      for (int column = 0; column < 8; ++column) c[row][column] += a[row][k] * b[k][column];
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const MultiplyInt8& mine = brought<MultiplyInt8>(lanes, lane);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int high = 0; high < 2; ++high) {
      mine.c[high] += c[group][pair + high];
      mine.c[2 + high] += c[group + 8][pair + high];
    }
  }
}

}  // namespace

void load_matrices(MatrixLoad& mine) { meet(execute_load, &mine); }

void multiply_add(Multiply& mine, Elements elements) {
  meet(elements == Elements::kHalf ? execute_multiply<Elements::kHalf>
                                   : execute_multiply<Elements::kBFloat16>,
       &mine);
}

void multiply_add_int8(MultiplyInt8& mine) { meet(execute_multiply_int8, &mine); }

}  // namespace emulation
