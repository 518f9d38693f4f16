// The kernels our models run, instantiated alone: what tests/kernels/test_budgets.py compiles for
// every architecture.
#include "attention/attention_int8.cuh"
#include "attention/quantize_qk.cuh"
#include "attention/tiles.cuh"
#include "channel_attention/channel_forms.cuh"
#include "layer_norm/layer_norm.cuh"
#include "preprocess/gather.cuh"

namespace framescore::kernels {

template <AttentionTile tile, bool biased>
using Attention = ConfigOf<device::Half, tile, 64, biased>;
template <ChannelTile tile>
using Channel = typename ChannelForm<device::Half, tile, 196>::Config;

namespace device {

template __global__ void attention_kernel<Attention<AttentionTile::kRows128, false>>(
    const __grid_constant__ AttentionArguments);
template __global__ void attention_kernel<Attention<AttentionTile::kRows64, false>>(
    const __grid_constant__ AttentionArguments);
template __global__ void attention_kernel<Attention<AttentionTile::kRows64, true>>(
    const __grid_constant__ AttentionArguments);
template __global__ void attention_kernel<Attention<AttentionTile::kRows32, false>>(
    const __grid_constant__ AttentionArguments);
template __global__ void attention_kernel<Attention<AttentionTile::kRows16, false>>(
    const __grid_constant__ AttentionArguments);
template __global__ void attention_kernel<Attention<AttentionTile::kRows16Resident, false>>(
    const __grid_constant__ AttentionArguments);

template __global__ void channel_attention_kernel<Channel<ChannelTile::kRows64>>(
    const __grid_constant__ ChannelArguments);
template __global__ void channel_attention_kernel<Channel<ChannelTile::kRows32>>(
    const __grid_constant__ ChannelArguments);
template __global__ void channel_attention_kernel<Channel<ChannelTile::kRows16>>(
    const __grid_constant__ ChannelArguments);
template __global__ void channel_attention_kernel<Channel<ChannelTile::kPortable>>(
    const __grid_constant__ ChannelArguments);
template __global__ void key_norms_kernel<ChannelGeometry<Half, 196>>(
    const __grid_constant__ LinearArguments);
template __global__ void gram_kernel<GramConfig<Half, 196, 32>>(
    const __grid_constant__ LinearArguments);
template __global__ void linear_output_kernel<LinearOutputConfig<Half, 196, 2>>(
    const __grid_constant__ LinearArguments);

template __global__ void attention_int8_kernel<Int8Config<64, 4, 1, 64, 3>>(
    const __grid_constant__ Int8Arguments);
template __global__ void attention_int8_kernel<Int8Config<64, 1, 4, 16, 3>>(
    const __grid_constant__ Int8Arguments);
template __global__ void quantize_qk_kernel<QuantizeConfig<64>>(
    const __grid_constant__ QuantizeArguments);

}  // namespace device

// ViT-Ti, -S and -B in half, and what decoders and cameras deliver.
template __global__ void layer_norm_kernel<device::Half, 8, 1>(LayerNormShape, LayerNormTensors);
template __global__ void layer_norm_kernel<device::Half, 8, 2>(LayerNormShape, LayerNormTensors);
template __global__ void layer_norm_kernel<device::Half, 8, 4>(LayerNormShape, LayerNormTensors);
template __global__ void gather_kernel<Nv12Reader>(GatherParams);
template __global__ void gather_kernel<PackedReader<3, 2>>(GatherParams);
template __global__ void gather_kernel<YuyvReader>(GatherParams);

}  // namespace framescore::kernels
