// layer_norm.cuh: a warp per row, the row in registers between its one load and its one store.
#pragma once

#include <cmath>
#include <cstdint>

#include "device/primitives.cuh"
#include "framescore/kernels/layer_norm.h"
#include "row_packets.cuh"

namespace framescore::kernels {

using device::kWarp;

inline constexpr int kRowsPerBlock = 4;

FRAMESCORE_DEVICE float warp_sum(float value) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value += device::shuffle_xor(value, lanes);
  return value;
}

// One lane's share of a row: packets lane, lane + 32, lane + 64, ... of kLength elements.
template <class T, int kLength, int kPackets>
class RowShare {
 public:
  FRAMESCORE_DEVICE RowShare(int lane, int width) : lane_(lane), packets_(width / kLength) {}

  // Adds a row of [width] to the share.
  FRAMESCORE_DEVICE void add(const T* row) {
    each([&](int slot, int packet) {
      float loaded[kLength];
      load_packet(row + packet * kLength, loaded);
#pragma unroll
      for (int e = 0; e < kLength; ++e) value_[slot][e] += loaded[e];
    });
  }

  FRAMESCORE_DEVICE void store(T* row) const {
    each([&](int slot, int packet) { store_packet(row + packet * kLength, value_[slot]); });
  }

  // The warp's sum of term(element) over the row.
  template <class Term>
  FRAMESCORE_DEVICE float sum(const Term& term) const {
    float total = 0;
    each([&](int slot, int) {
#pragma unroll
      for (int e = 0; e < kLength; ++e) total += term(value_[slot][e]);
    });
    return warp_sum(total);
  }

  // element = (element - mean) * scale * gamma + beta
  FRAMESCORE_DEVICE void normalise(float mean, float scale, const T* gamma, const T* beta) {
    each([&](int slot, int packet) {
      float g[kLength], b[kLength];
      load_packet(gamma + packet * kLength, g);
      load_packet(beta + packet * kLength, b);
#pragma unroll
      for (int e = 0; e < kLength; ++e) {
        value_[slot][e] = (value_[slot][e] - mean) * scale * g[e] + b[e];
      }
    });
  }

 private:
  // Calls run(slot, packet) for the packets of this lane; unrolled, lest value_ leave registers.
  template <class Run>
  FRAMESCORE_DEVICE void each(const Run& run) const {
#pragma unroll
    for (int slot = 0; slot < kPackets; ++slot) {
      const int packet = lane_ + slot * kWarp;
      if (packet < packets_) run(slot, packet);
    }
  }

  int lane_, packets_;
  float value_[kPackets][kLength] = {};
};

// `sum` may be `input` or `residual`: a lane has read its elements before it writes them, and no
// other lane reads them.
template <class T, int kLength, int kPackets>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp)
    layer_norm_kernel(const LayerNormShape shape, const LayerNormTensors tensors) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int row = blockIdx.x * kRowsPerBlock + warp;
  if (row >= shape.rows) return;  // whole warps
  const std::int64_t offset = std::int64_t{row} * shape.width;
  RowShare<T, kLength, kPackets> share(lane, shape.width);
  share.add(static_cast<const T*>(tensors.input) + offset);
  if (tensors.residual != nullptr) share.add(static_cast<const T*>(tensors.residual) + offset);
  if (tensors.sum != nullptr) share.store(static_cast<T*>(tensors.sum) + offset);

  const float width = static_cast<float>(shape.width);
  const float mean = share.sum([](float x) { return x; }) / width;
  const auto square = [mean](float x) { return (x - mean) * (x - mean); };
  const float variance = share.sum(square) / width;
  share.normalise(mean, 1.0f / sqrtf(variance + shape.epsilon),
                  static_cast<const T*>(tensors.gamma), static_cast<const T*>(tensors.beta));
  share.store(static_cast<T*>(tensors.output) + offset);
}

}  // namespace framescore::kernels
