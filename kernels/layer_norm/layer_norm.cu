// layer_norm.cu: checks what framescore/kernels/layer_norm.h promises and picks an instantiation.
#include "device/launch.cuh"
#include "framescore/kernels/layer_norm.h"
#include "layer_norm.cuh"

namespace framescore::kernels {
namespace {

constexpr int kMaxWidth = 1024;
constexpr int kMaxRows = 1 << 24;
constexpr int kPacketBytes = 16;

Status check(const LayerNormShape& shape, const LayerNormTensors& tensors) {
  const auto type = static_cast<int>(shape.type);
  if (type < 0 || type > static_cast<int>(RowType::kFloat32)) return Status::kBadType;
  if (shape.rows < 1 || shape.rows > kMaxRows) return Status::kBadShape;
  if (shape.width < 1 || shape.width > kMaxWidth) return Status::kBadShape;
  if (!(shape.epsilon >= 0)) return Status::kBadShape;  // NaN too
  const void* const needed[] = {tensors.input, tensors.gamma, tensors.beta, tensors.output};
  for (const void* pointer : needed) {
    if (pointer == nullptr) return Status::kNullPointer;
  }
  return tensors.output == tensors.sum ? Status::kBadShape : Status::kOk;
}

// Also of a null pointer.
bool is_aligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % kPacketBytes == 0;
}

bool moves_packets(const LayerNormShape& shape, const LayerNormTensors& tensors, int size) {
  return shape.width * size % kPacketBytes == 0 && is_aligned(tensors.input) &&
         is_aligned(tensors.residual) && is_aligned(tensors.gamma) && is_aligned(tensors.beta) &&
         is_aligned(tensors.sum) && is_aligned(tensors.output);
}

template <class T, int kLength, int kElements>
Status launch(const LayerNormShape& shape, const LayerNormTensors& tensors, cudaStream_t stream) {
  const int blocks = (shape.rows + kRowsPerBlock - 1) / kRowsPerBlock;
  return device::launch<layer_norm_kernel<T, kLength, kElements / kLength>>(
      dim3(blocks), dim3(kRowsPerBlock * kWarp), 0, stream, shape, tensors);
}

// The narrowest instantiation that holds a row: 8, 16 or 32 elements a lane.
template <class T, int kLength>
Status launch_width(const LayerNormShape& shape, const LayerNormTensors& tensors,
                    cudaStream_t stream) {
  if (shape.width <= 8 * kWarp) return launch<T, kLength, 8>(shape, tensors, stream);
  if (shape.width <= 16 * kWarp) return launch<T, kLength, 16>(shape, tensors, stream);
  return launch<T, kLength, kMaxWidth / kWarp>(shape, tensors, stream);
}

template <class T>
Status launch_type(const LayerNormShape& shape, const LayerNormTensors& tensors,
                   cudaStream_t stream) {
  if (moves_packets(shape, tensors, sizeof(T))) {
    return launch_width<T, kPacketBytes / sizeof(T)>(shape, tensors, stream);
  }
  return launch_width<T, 1>(shape, tensors, stream);
}

}  // namespace

Status launch_residual_layer_norm(const LayerNormShape& shape, const LayerNormTensors& tensors,
                                  cudaStream_t stream) {
  if (const Status status = check(shape, tensors); status != Status::kOk) return status;
  switch (shape.type) {
    case RowType::kFloat16:
      return launch_type<device::Half>(shape, tensors, stream);
    case RowType::kBFloat16:
      return launch_type<device::BFloat16>(shape, tensors, stream);
    case RowType::kFloat32:
      return launch_type<float>(shape, tensors, stream);
  }
  return Status::kBadType;
}

}  // namespace framescore::kernels
