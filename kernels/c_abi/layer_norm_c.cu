#include "c_abi.h"
#include "framescore/kernels/layer_norm.h"

FRAMESCORE_C int framescore_residual_layer_norm(const kernels::LayerNormShape* shape,
                                                const kernels::LayerNormTensors* tensors,
                                                cudaStream_t stream) {
  return static_cast<int>(kernels::launch_residual_layer_norm(*shape, *tensors, stream));
}
