// device/primitives.cuh for a plain C++ compiler: the same functions, on the emulation.
// Their documentation is in device/primitives_ptx.cuh.
#pragma once

#include <cmath>
#include <cstring>

#include "number_formats.h"
#include "shared_memory.h"
#include "simt.h"
#include "tensor_core.h"

namespace framescore::kernels::device {

#define FRAMESCORE_DEVICE inline

inline std::uint32_t shared_memory_base() { return emulation::kSharedBase; }

inline void copy_async_16(std::uint32_t shared, const void* global, int valid_bytes,
                          int line = __builtin_LINE()) {
  emulation::maybe_switch();
  emulation::start_copy(shared, global, valid_bytes, line);
}

inline void copy_async_commit() { emulation::commit_copies(); }

template <int pending>
void copy_async_wait() {
  emulation::maybe_switch();
  emulation::wait_for_copies(pending);
}

template <class V>
V load_shared(std::uint32_t address, int line = __builtin_LINE()) {
  emulation::maybe_switch();
  emulation::note_banks(emulation::Traffic::kAccess, address, sizeof(V), line);
  V value;
  std::memcpy(&value,
              emulation::shared_bytes(address, sizeof(V), emulation::Access::kRead,
                                      emulation::self().index),
              sizeof(V));
  return value;
}

template <class V>
void store_shared(std::uint32_t address, V value, int line = __builtin_LINE()) {
  emulation::maybe_switch();
  emulation::note_banks(emulation::Traffic::kAccess, address, sizeof(V), line);
  std::memcpy(emulation::shared_bytes(address, sizeof(V), emulation::Access::kWrite,
                                      emulation::self().index),
              &value, sizeof(V));
}

template <class V>
V load_global(const void* address) {
  emulation::check_global(address, sizeof(V), sizeof(V), false);
  V value;
  std::memcpy(&value, address, sizeof(V));
  return value;
}

template <class V>
void store_global(void* address, V value) {
  emulation::check_global(address, sizeof(V), sizeof(V), true);
  std::memcpy(address, &value, sizeof(V));
}

inline void block_barrier() { emulation::block_barrier(); }
inline void warp_barrier() { emulation::warp_barrier(); }

template <class V>
struct Shuffle {
  V value;
  int source;
  V result;
};

template <class V>
V shuffle_from(V value, int lane) {
  Shuffle<V> mine{value, lane & 31, value};
  emulation::meet(
      [](void* const* lanes) {
        for (int i = 0; i < emulation::kLanes; ++i) {
          auto& one = *static_cast<Shuffle<V>*>(lanes[i]);
          one.result = static_cast<Shuffle<V>*>(lanes[one.source])->value;
        }
      },
      &mine);
  return mine.result;
}

template <class V>
V shuffle_xor(V value, int lane_mask) {
  return shuffle_from(value, emulation::self().lane ^ lane_mask);
}

inline std::uint32_t ballot(bool predicate) {
  std::uint32_t mine = predicate;
  emulation::meet(
      [](void* const* lanes) {
        std::uint32_t votes = 0;
        for (int i = 0; i < emulation::kLanes; ++i) {
          votes |= *static_cast<std::uint32_t*>(lanes[i]) << i;
        }
        for (int i = 0; i < emulation::kLanes; ++i) *static_cast<std::uint32_t*>(lanes[i]) = votes;
      },
      &mine);
  return mine;
}

template <int count>
void load_matrices(std::uint32_t (&r)[count], std::uint32_t address) {
  emulation::MatrixLoad mine{r, address, count, false};
  emulation::load_matrices(mine);
}

template <int count>
void load_matrices_transposed(std::uint32_t (&r)[count], std::uint32_t address) {
  emulation::MatrixLoad mine{r, address, count, true};
  emulation::load_matrices(mine);
}

template <class T>
constexpr bool is_half = false;
template <>
inline constexpr bool is_half<Half> = true;

template <class T>
void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  emulation::Multiply mine{c, a, {b0, b1}};
  emulation::multiply_add(mine,
                          is_half<T> ? emulation::Elements::kHalf : emulation::Elements::kBFloat16);
}

inline void multiply_add_int8(int (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                              std::uint32_t b1) {
  emulation::MultiplyInt8 mine{c, a, {b0, b1}};
  emulation::multiply_add_int8(mine);
}

template <class T>
std::uint32_t pack(float low, float high) {
  if constexpr (is_half<T>) {
    return static_cast<std::uint32_t>(emulation::float_to_half(high)) << 16 |
           emulation::float_to_half(low);
  }
  return static_cast<std::uint32_t>(emulation::float_to_bfloat16(high)) << 16 |
         emulation::float_to_bfloat16(low);
}

template <class T>
float2 unpack(std::uint32_t pair) {
  const auto low = static_cast<std::uint16_t>(pair), high = static_cast<std::uint16_t>(pair >> 16);
  if constexpr (is_half<T>) {
    return {emulation::half_to_float(low), emulation::half_to_float(high)};
  }
  return {emulation::bfloat16_to_float(low), emulation::bfloat16_to_float(high)};
}

inline float exp2_fast(float x) { return std::exp2(x); }

inline std::uint32_t bits_of(float x) { return emulation::bits_of(x); }
inline float float_of(std::uint32_t bits) { return emulation::float_of(bits); }

inline float larger(float a, float b) { return std::fmax(a, b); }

inline float inverse_sqrt(float x) { return 1 / std::sqrt(x); }

inline int round_to_int(float x) { return static_cast<int>(std::nearbyint(x)); }

inline int keep_in_loop(int value) { return value; }

}  // namespace framescore::kernels::device
