#include "c_abi.h"
#include "framescore/kernels/channel_attention.h"

FRAMESCORE_C int framescore_channel_attention(const kernels::ChannelAttentionShape* shape,
                                              const kernels::ChannelAttentionTensors* tensors,
                                              int tile, cudaStream_t stream) {
  const auto chosen = static_cast<kernels::ChannelTile>(tile);
  return static_cast<int>(kernels::launch_channel_attention(*shape, *tensors, stream, chosen));
}

FRAMESCORE_C int framescore_linear_channel_attention(
    const kernels::ChannelAttentionShape* shape, const kernels::ChannelAttentionTensors* tensors,
    void* workspace, cudaStream_t stream) {
  return static_cast<int>(
      kernels::launch_linear_channel_attention(*shape, *tensors, workspace, stream));
}

// Bytes of its workspace.
FRAMESCORE_C std::size_t framescore_linear_channel_attention_workspace(
    const kernels::ChannelAttentionShape* shape) {
  return kernels::linear_channel_attention_workspace(*shape);
}
