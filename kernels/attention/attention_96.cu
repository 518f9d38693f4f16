// attention/attention_96.cu: the kernels for head_dim 96.
#include "attention/dispatch.cuh"

namespace framescore::kernels {

template Status launch_attention_of<96>(const AttentionLaunch& launch);
template std::size_t attention_shared_bytes_of<96>(AttentionTile tile);

}  // namespace framescore::kernels
