// attention/dispatch.cuh: compiled once for each head dimension, by attention_<dim>.cu.
#pragma once

#include "attention/tiles.cuh"
#include "device/launch.cuh"

namespace framescore::kernels {

template <class Element, AttentionTile tile, int dim, bool biased>
Status launch_config(const AttentionLaunch& launch) {
  using Config = ConfigOf<Element, tile, dim, biased>;
  dim3 grid = launch.grid;
  grid.x = static_cast<unsigned>((launch.arguments.tokens + Config::kRows - 1) / Config::kRows);
  return device::launch<device::attention_kernel<Config>>(
      grid, dim3(Config::kThreads), Config::kSharedBytes, launch.stream, launch.arguments);
}

template <AttentionTile tile, int dim>
Status launch_tile(const AttentionLaunch& launch) {
  if constexpr (!tile_numbers(tile, dim).built()) {
    return Status::kUnsupportedTile;
  } else if (launch.type == DataType::kFloat16) {
    return launch.arguments.bias == nullptr ? launch_config<device::Half, tile, dim, false>(launch)
                                            : launch_config<device::Half, tile, dim, true>(launch);
  } else {
    return launch.arguments.bias == nullptr
               ? launch_config<device::BFloat16, tile, dim, false>(launch)
               : launch_config<device::BFloat16, tile, dim, true>(launch);
  }
}

template <int dim>
Status launch_attention_of(const AttentionLaunch& launch) {
  switch (launch.tile) {
    case AttentionTile::kRows128:
      return launch_tile<AttentionTile::kRows128, dim>(launch);
    case AttentionTile::kRows64:
      return launch_tile<AttentionTile::kRows64, dim>(launch);
    case AttentionTile::kRows32:
      return launch_tile<AttentionTile::kRows32, dim>(launch);
    case AttentionTile::kRows16:
      return launch_tile<AttentionTile::kRows16, dim>(launch);
    case AttentionTile::kRows16Resident:
      return launch_tile<AttentionTile::kRows16Resident, dim>(launch);
    case AttentionTile::kAuto:
      break;
  }
  return Status::kUnsupportedTile;
}

template <AttentionTile tile, int dim>
constexpr std::size_t shared_bytes_of() {
  if constexpr (tile_numbers(tile, dim).built()) {
    return ConfigOf<device::Half, tile, dim, false>::kSharedBytes;
  } else {
    return 0;
  }
}

template <int dim>
std::size_t attention_shared_bytes_of(AttentionTile tile) {
  switch (tile) {
    case AttentionTile::kRows128:
      return shared_bytes_of<AttentionTile::kRows128, dim>();
    case AttentionTile::kRows64:
      return shared_bytes_of<AttentionTile::kRows64, dim>();
    case AttentionTile::kRows32:
      return shared_bytes_of<AttentionTile::kRows32, dim>();
    case AttentionTile::kRows16:
      return shared_bytes_of<AttentionTile::kRows16, dim>();
    case AttentionTile::kRows16Resident:
      return shared_bytes_of<AttentionTile::kRows16Resident, dim>();
    case AttentionTile::kAuto:
      break;
  }
  return 0;
}

}  // namespace framescore::kernels
