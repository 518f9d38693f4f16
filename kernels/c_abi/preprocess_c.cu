#include "c_abi.h"
#include "framescore/kernels/preprocess.h"

FRAMESCORE_C int framescore_gather_views(const kernels::DeviceFrame* frame,
                                         const kernels::ViewOutput* views, int count,
                                         cudaStream_t stream) {
  return static_cast<int>(kernels::launch_gather_views(*frame, views, count, stream));
}
