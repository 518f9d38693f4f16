#include "c_abi.h"
#include "framescore/kernels/attention.h"

FRAMESCORE_C int framescore_attention(const kernels::AttentionShape* shape, const void* qkv,
                                      const void* bias, const std::uint8_t* mask, void* out,
                                      int tile, cudaStream_t stream) {
  const auto chosen = static_cast<kernels::AttentionTile>(tile);
  return static_cast<int>(kernels::launch_attention(*shape, qkv, bias, mask, out, stream, chosen));
}
