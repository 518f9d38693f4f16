// row_packets.cuh: elements of a row between memory and float registers, 16 bytes or one element at
// a time. The length of the array says which.
#pragma once

#include <cstdint>

#include "device/primitives.cuh"

namespace framescore::kernels {

using device::load_global;
using device::pack;
using device::store_global;
using device::unpack;

// T is Half or BFloat16.
template <class T>
FRAMESCORE_DEVICE void load_packet(const T* from, float (&value)[8]) {
  const uint4 words = load_global<uint4>(from);
  const std::uint32_t pairs[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = unpack<T>(pairs[i]);
    value[2 * i] = pair.x;
    value[2 * i + 1] = pair.y;
  }
}

template <class T>
FRAMESCORE_DEVICE void load_packet(const T* from, float (&value)[1]) {
  value[0] = unpack<T>(load_global<std::uint16_t>(from)).x;
}

FRAMESCORE_DEVICE void load_packet(const float* from, float (&value)[4]) {
  const float4 words = load_global<float4>(from);
  value[0] = words.x;
  value[1] = words.y;
  value[2] = words.z;
  value[3] = words.w;
}

FRAMESCORE_DEVICE void load_packet(const float* from, float (&value)[1]) {
  value[0] = load_global<float>(from);
}

template <class T>
FRAMESCORE_DEVICE void store_packet(T* to, const float (&value)[8]) {
  store_global(to, uint4{pack<T>(value[0], value[1]), pack<T>(value[2], value[3]),
                         pack<T>(value[4], value[5]), pack<T>(value[6], value[7])});
}

template <class T>
FRAMESCORE_DEVICE void store_packet(T* to, const float (&value)[1]) {
  store_global(to, static_cast<std::uint16_t>(pack<T>(value[0], 0.0f)));
}

FRAMESCORE_DEVICE void store_packet(float* to, const float (&value)[4]) {
  store_global(to, float4{value[0], value[1], value[2], value[3]});
}

FRAMESCORE_DEVICE void store_packet(float* to, const float (&value)[1]) {
  store_global(to, value[0]);
}

}  // namespace framescore::kernels
