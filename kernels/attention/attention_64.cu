// attention/attention_64.cu: the kernels for head_dim 64.
#include "attention/dispatch.cuh"

namespace framescore::kernels {

template Status launch_attention_of<64>(const AttentionLaunch& launch);
template std::size_t attention_shared_bytes_of<64>(AttentionTile tile);

}  // namespace framescore::kernels
