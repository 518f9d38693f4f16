// device/ring.cuh: a ring of kStages tiles in shared memory, filled by cp.async while others are
// used.
//
// One barrier a step: the tile that comes into a place is asked for when all warps have left the
// tile that was there. `copy_tile(t)` starts copying tile t and closes a group, which is empty past
// the last tile, so that every step closes exactly one.
#pragma once

#include "device/primitives.cuh"

namespace framescore::kernels::device {

// Before the first step: tiles 0 .. kStages - 2 (with one stage: 0). Copies started before this
// call land with tile 0. Afterwards tile 0 can be read.
template <int kStages, class CopyTile>
FRAMESCORE_DEVICE void fill_ring(const CopyTile& copy_tile) {
  copy_tile(0);
#pragma unroll
  for (int tile = 1; tile < kStages - 1; ++tile) copy_tile(tile);
  copy_async_wait<(kStages > 2 ? kStages - 2 : 0)>();
  block_barrier();
}

// At the start of a step: makes its tile readable by all and asks for the one that takes the place
// of its predecessor.
template <int kStages, class CopyTile>
FRAMESCORE_DEVICE void advance_ring(int tile, const CopyTile& copy_tile) {
  if constexpr (kStages == 1) {
    if (tile == 0) return;  // fill_ring has brought it
    block_barrier();        // all warps have left the only place
    copy_tile(tile);
    copy_async_wait<0>();
    block_barrier();
  } else {
    if (tile > 0) {
      copy_async_wait<kStages - 2>();
      block_barrier();
    }
    copy_tile(tile + kStages - 1);
  }
}

}  // namespace framescore::kernels::device
