// channel_attention/channel_49.cu: the kernels for 49 positions.
#include "channel_attention/channel_forms.cuh"

namespace framescore::kernels {

template Status launch_exact<device::Half, 49>(ChannelTile, int, const device::ChannelArguments&,
                                               cudaStream_t);
template Status launch_exact<device::BFloat16, 49>(ChannelTile, int,
                                                   const device::ChannelArguments&, cudaStream_t);
template Status launch_linear<device::Half, 49>(const device::LinearArguments&, cudaStream_t);
template Status launch_linear<device::BFloat16, 49>(const device::LinearArguments&, cudaStream_t);

}  // namespace framescore::kernels
