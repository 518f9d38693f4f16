// attention/tiles.cuh: what each AttentionTile is made of, for each head dimension.
//
// Head dimensions up to 64 take 64 keys a tile in two stages. Larger ones take fewer keys, or one
// stage, to stay within 48 KB; the forms made for them only at 32 to 64 are not built.
#pragma once

#include "attention/attention.cuh"
#include "framescore/kernels/attention.h"

namespace framescore::kernels {

// Configs differ only in these numbers; see AttentionConfig. `blocks` is how many are to fit a
// multiprocessor by registers: the most that ptxas manages without spilling on any architecture.
struct TileNumbers {
  int warps_q, warps_kv, row_blocks, keys, stages, blocks;
  constexpr bool built() const { return warps_q > 0; }
};

constexpr TileNumbers tile_numbers(AttentionTile tile, int dim) {
  const bool small = dim <= 64;
  switch (tile) {
    case AttentionTile::kRows128:
      return small ? TileNumbers{4, 1, 2, 32, 2, 2} : TileNumbers{};
    case AttentionTile::kRows64:
      return small ? TileNumbers{4, 1, 1, 64, 2, 3}
                   : TileNumbers{4, 1, 1, 32, 2, dim <= 96 ? 3 : 2};
    case AttentionTile::kRows32:
      return small ? TileNumbers{2, 2, 1, 32, 2, dim < 64 ? 4 : 3} : TileNumbers{};
    case AttentionTile::kRows16:
      return small ? TileNumbers{1, 4, 1, 16, 2, 4}
                   : TileNumbers{1, 4, 1, 16, 1, dim <= 96 ? 4 : 3};
    case AttentionTile::kRows16Resident:
      return small ? TileNumbers{1, 4, 1, 64, 1, dim < 64 ? 3 : 2} : TileNumbers{};
    case AttentionTile::kAuto:
      break;
  }
  return TileNumbers{};
}

template <class Element, AttentionTile tile, int dim, bool biased>
using ConfigOf =
    device::AttentionConfig<Element, dim, tile_numbers(tile, dim).warps_q,
                            tile_numbers(tile, dim).warps_kv, tile_numbers(tile, dim).row_blocks,
                            tile_numbers(tile, dim).keys, tile_numbers(tile, dim).stages,
                            tile_numbers(tile, dim).blocks, biased>;

// One launch with everything known but its tile and type; each head dimension is compiled apart.
struct AttentionLaunch {
  AttentionTile tile;
  DataType type;
  dim3 grid;  // x is set from the tile
  cudaStream_t stream;
  device::AttentionArguments arguments;
};

template <int dim>
Status launch_attention_of(const AttentionLaunch& launch);

template <int dim>
std::size_t attention_shared_bytes_of(AttentionTile tile);

}  // namespace framescore::kernels
