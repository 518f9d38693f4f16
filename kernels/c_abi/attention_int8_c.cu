#include "c_abi.h"
#include "framescore/kernels/attention_int8.h"

FRAMESCORE_C int framescore_quantize_qk(const kernels::Int8AttentionShape* shape, const void* qkv,
                                        const kernels::QuantizedQk* quantized,
                                        cudaStream_t stream) {
  return static_cast<int>(kernels::launch_quantize_qk(*shape, qkv, *quantized, stream));
}

FRAMESCORE_C int framescore_attention_int8(const kernels::Int8AttentionShape* shape,
                                           const kernels::QuantizedQk* quantized, const void* qkv,
                                           void* out, int tile, cudaStream_t stream) {
  const auto chosen = static_cast<kernels::Int8AttentionTile>(tile);
  return static_cast<int>(
      kernels::launch_attention_int8(*shape, *quantized, qkv, out, stream, chosen));
}

// Bytes of q or k, and of their scales.
FRAMESCORE_C std::size_t framescore_quantized_bytes(const kernels::Int8AttentionShape* shape) {
  return kernels::quantized_bytes(*shape);
}

FRAMESCORE_C std::size_t framescore_quantized_scale_bytes(
    const kernels::Int8AttentionShape* shape) {
  return kernels::quantized_scale_bytes(*shape);
}
