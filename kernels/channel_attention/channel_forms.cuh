// channel_attention/channel_forms.cuh: what each ChannelTile is made of, and launches of one number
// of positions; compiled once for each by channel_<positions>.cu.
#pragma once

#include "channel_attention/linear_attention.cuh"
#include "device/launch.cuh"
#include "framescore/kernels/channel_attention.h"

namespace framescore::kernels {

template <class Element, ChannelTile tile, int positions>
struct ChannelForm;

template <class Element, int positions>
struct ChannelForm<Element, ChannelTile::kRows64, positions> {
  using Config = device::ChannelConfig<Element, positions, 4, 1, 32, 2, 2>;
};
template <class Element, int positions>
struct ChannelForm<Element, ChannelTile::kRows32, positions> {
  using Config = device::ChannelConfig<Element, positions, 2, 2, 16, 2, 2>;
};
template <class Element, int positions>
struct ChannelForm<Element, ChannelTile::kRows16, positions> {
  using Config = device::ChannelConfig<Element, positions, 1, 4, 16, 1, 2>;
};
template <class Element, int positions>
struct ChannelForm<Element, ChannelTile::kPortable, positions> {
  using Config = device::ChannelConfig<Element, positions, 2, 2, 16, 1, 2>;
};

// Calls `use` with the config of a tile.
template <class Element, int positions, class Use>
auto with_channel_config(ChannelTile tile, const Use& use) {
  switch (tile) {
    case ChannelTile::kRows64:
      return use(typename ChannelForm<Element, ChannelTile::kRows64, positions>::Config{});
    case ChannelTile::kRows32:
      return use(typename ChannelForm<Element, ChannelTile::kRows32, positions>::Config{});
    case ChannelTile::kRows16:
      return use(typename ChannelForm<Element, ChannelTile::kRows16, positions>::Config{});
    default:
      return use(typename ChannelForm<Element, ChannelTile::kPortable, positions>::Config{});
  }
}

template <class Element, int positions>
Status launch_exact(ChannelTile tile, int batch, const device::ChannelArguments& arguments,
                    cudaStream_t stream) {
  return with_channel_config<Element, positions>(tile, [&](auto config) {
    using Config = decltype(config);
    const dim3 grid(static_cast<unsigned>(arguments.channels / Config::kRows),
                    static_cast<unsigned>(batch));
    return device::launch<device::channel_attention_kernel<Config>>(
        grid, dim3(Config::kThreads), Config::kSharedBytes, stream, arguments);
  });
}

template <class Element, int positions, int tile>
Status launch_gram(const device::LinearArguments& arguments, cudaStream_t stream) {
  using Config = device::GramConfig<Element, positions, tile>;
  const dim3 grid(Config::kTiles, Config::kTiles, static_cast<unsigned>(arguments.batch));
  return device::launch<device::gram_kernel<Config>>(grid, dim3(Config::kThreads),
                                                     Config::kSharedBytes, stream, arguments);
}

template <class Element, int positions, int warps>
Status launch_linear_output(const device::LinearArguments& arguments, cudaStream_t stream) {
  using Config = device::LinearOutputConfig<Element, positions, warps>;
  const dim3 grid(static_cast<unsigned>(arguments.tensors.channels / Config::kRows),
                  static_cast<unsigned>(arguments.batch));
  return device::launch<device::linear_output_kernel<Config>>(
      grid, dim3(Config::kThreads), Config::kSharedBytes, stream, arguments);
}

// Small tiles spread one image over the device; large ones read K, V and G less often.
template <class Element, int positions>
Status launch_linear(const device::LinearArguments& a, cudaStream_t stream) {
  using Geometry = device::ChannelGeometry<Element, positions>;
  const bool few = a.batch < 8;
  const int rows = a.batch * a.tensors.channels;
  const unsigned blocks =
      static_cast<unsigned>((rows + device::kNormWarps - 1) / device::kNormWarps);
  Status status = device::launch<device::key_norms_kernel<Geometry>>(
      dim3(blocks), dim3(device::kNormWarps * device::kWarp), 0, stream, a);
  if (status != Status::kOk) return status;
  status = few ? launch_gram<Element, positions, 32>(a, stream)
               : launch_gram<Element, positions, 64>(a, stream);
  if (status != Status::kOk) return status;
  return few ? launch_linear_output<Element, positions, 2>(a, stream)
             : launch_linear_output<Element, positions, 4>(a, stream);
}

}  // namespace framescore::kernels
