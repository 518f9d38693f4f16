// attention/attention_48.cu: the kernels for head_dim 48.
#include "attention/dispatch.cuh"

namespace framescore::kernels {

template Status launch_attention_of<48>(const AttentionLaunch& launch);
template std::size_t attention_shared_bytes_of<48>(AttentionTile tile);

}  // namespace framescore::kernels
