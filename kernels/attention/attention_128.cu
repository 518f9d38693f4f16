// attention/attention_128.cu: the kernels for head_dim 128.
#include "attention/dispatch.cuh"

namespace framescore::kernels {

template Status launch_attention_of<128>(const AttentionLaunch& launch);
template std::size_t attention_shared_bytes_of<128>(AttentionTile tile);

}  // namespace framescore::kernels
