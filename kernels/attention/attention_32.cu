// attention/attention_32.cu: the kernels for head_dim 32.
#include "attention/dispatch.cuh"

namespace framescore::kernels {

template Status launch_attention_of<32>(const AttentionLaunch& launch);
template std::size_t attention_shared_bytes_of<32>(AttentionTile tile);

}  // namespace framescore::kernels
