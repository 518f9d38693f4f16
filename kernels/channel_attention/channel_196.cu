// channel_attention/channel_196.cu: the kernels for 196 positions.
#include "channel_attention/channel_forms.cuh"

namespace framescore::kernels {

template Status launch_exact<device::Half, 196>(ChannelTile, int, const device::ChannelArguments&,
                                                cudaStream_t);
template Status launch_exact<device::BFloat16, 196>(ChannelTile, int,
                                                    const device::ChannelArguments&, cudaStream_t);
template Status launch_linear<device::Half, 196>(const device::LinearArguments&, cudaStream_t);
template Status launch_linear<device::BFloat16, 196>(const device::LinearArguments&, cudaStream_t);

}  // namespace framescore::kernels
