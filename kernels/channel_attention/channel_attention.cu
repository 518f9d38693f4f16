// channel_attention/channel_attention.cu: checks arguments, chooses a form, and hands over.
#include <cmath>
#include <cstdint>

#include "channel_attention/channel_forms.cuh"
#include "framescore/kernels/channel_attention.h"

namespace framescore::kernels {

extern template Status launch_exact<device::Half, 196>(ChannelTile, int,
                                                       const device::ChannelArguments&,
                                                       cudaStream_t);
extern template Status launch_exact<device::BFloat16, 196>(ChannelTile, int,
                                                           const device::ChannelArguments&,
                                                           cudaStream_t);
extern template Status launch_exact<device::Half, 49>(ChannelTile, int,
                                                      const device::ChannelArguments&,
                                                      cudaStream_t);
extern template Status launch_exact<device::BFloat16, 49>(ChannelTile, int,
                                                          const device::ChannelArguments&,
                                                          cudaStream_t);
extern template Status launch_linear<device::Half, 196>(const device::LinearArguments&,
                                                        cudaStream_t);
extern template Status launch_linear<device::BFloat16, 196>(const device::LinearArguments&,
                                                            cudaStream_t);
extern template Status launch_linear<device::Half, 49>(const device::LinearArguments&,
                                                       cudaStream_t);
extern template Status launch_linear<device::BFloat16, 49>(const device::LinearArguments&,
                                                           cudaStream_t);

namespace {

bool aligned(const void* pointer, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

Status check_shape(const ChannelAttentionShape& s, bool has_residual) {
  if (s.type != DataType::kFloat16 && s.type != DataType::kBFloat16) return Status::kBadType;
  const bool counts = s.batch >= 1 && s.batch <= 65535 && s.channels >= 64 && s.channels <= 4096 &&
                      s.channels % 64 == 0 && (s.positions == 196 || s.positions == 49);
  if (!counts || !(s.epsilon > 0 && s.epsilon < 1)) return Status::kBadShape;
  const int eights = (s.positions + 7) / 8 * 8, pairs = (s.positions + 1) / 2 * 2;
  if (s.qkv_stride < eights || s.qkv_stride > 65536 || s.out_stride < pairs ||
      s.out_stride > 65536) {
    return Status::kBadShape;
  }
  if (has_residual && (s.residual_stride < pairs || s.residual_stride > 65536)) {
    return Status::kBadShape;
  }
  const bool even = s.out_stride % 2 == 0 && (!has_residual || s.residual_stride % 2 == 0);
  return s.qkv_stride % 8 == 0 && even ? Status::kOk : Status::kMisaligned;
}

Status check_pointers(const ChannelAttentionTensors& t) {
  const bool given = t.q != nullptr && t.k != nullptr && t.v != nullptr && t.out != nullptr &&
                     (t.gamma == nullptr) == (t.beta == nullptr);
  if (!given) return Status::kNullPointer;
  const bool fine = aligned(t.q, 16) && aligned(t.k, 16) && aligned(t.v, 16) &&
                    aligned(t.gamma, 8) && aligned(t.beta, 8) && aligned(t.residual, 4) &&
                    aligned(t.out, 4);
  return fine ? Status::kOk : Status::kMisaligned;
}

Status check(const ChannelAttentionShape& shape, const ChannelAttentionTensors& tensors) {
  const Status status = check_shape(shape, tensors.residual != nullptr);
  return status == Status::kOk ? check_pointers(tensors) : status;
}

device::ChannelArguments arguments_of(const ChannelAttentionShape& s,
                                      const ChannelAttentionTensors& t) {
  return {t.q,
          t.k,
          t.v,
          s.channels,
          s.qkv_stride * 2,
          1.0f / std::sqrt(static_cast<float>(s.positions)),
          {t.gamma, t.beta, static_cast<const char*>(t.residual), static_cast<char*>(t.out),
           s.residual_stride * 2, s.out_stride * 2, s.epsilon}};
}

// Where the parts of the workspace begin, each a multiple of 16 bytes.
struct Workspace {
  std::size_t base, gram, bytes;

  explicit Workspace(const ChannelAttentionShape& s) {
    const std::size_t dim = static_cast<std::size_t>((s.positions + 15) / 16 * 16);
    const std::size_t batch = static_cast<std::size_t>(s.batch);
    base = batch * static_cast<std::size_t>(s.channels) * 4;
    gram = base + batch * dim * 4;
    bytes = gram + batch * dim * dim * 2;
  }
};

}  // namespace

std::size_t linear_channel_attention_workspace(const ChannelAttentionShape& shape) {
  return check_shape(shape, false) == Status::kOk ? Workspace(shape).bytes : 0;
}

std::size_t channel_attention_shared_bytes(ChannelTile tile, int positions) {
  const auto bytes = [](auto config) { return std::size_t{decltype(config)::kSharedBytes}; };
  if (positions == 196) return with_channel_config<device::Half, 196>(tile, bytes);
  if (positions == 49) return with_channel_config<device::Half, 49>(tile, bytes);
  return 0;
}

// Every block streams all of K and V, whatever its rows: large tiles where there are enough of
// them, small ones to spread one image over the device. From the roofline (kernels/README.md); to
// be replaced by measurements.
ChannelTile choose_channel_tile(const ChannelAttentionShape& s, int multiprocessors,
                                int shared_bytes_per_block) {
  const auto fits = [&](ChannelTile tile) {
    return channel_attention_shared_bytes(tile, s.positions) <=
           static_cast<std::size_t>(shared_bytes_per_block);
  };
  const long long rows = static_cast<long long>(s.channels) * s.batch;
  if (rows / 64 >= multiprocessors && fits(ChannelTile::kRows64)) return ChannelTile::kRows64;
  if (rows / 32 >= multiprocessors && fits(ChannelTile::kRows32)) return ChannelTile::kRows32;
  return fits(ChannelTile::kRows16) ? ChannelTile::kRows16 : ChannelTile::kPortable;
}

Status launch_channel_attention(const ChannelAttentionShape& shape,
                                const ChannelAttentionTensors& tensors, cudaStream_t stream,
                                ChannelTile tile) {
  const Status status = check(shape, tensors);
  if (status != Status::kOk) return status;
  const device::DeviceLimits limits = device::current_device_limits();
  if (tile == ChannelTile::kAuto) {
    tile = choose_channel_tile(shape, limits.multiprocessors, limits.shared_bytes_per_block);
  }
  const bool known = tile >= ChannelTile::kRows64 && tile <= ChannelTile::kPortable;
  if (!known || channel_attention_shared_bytes(tile, shape.positions) >
                    static_cast<std::size_t>(limits.shared_bytes_per_block)) {
    return Status::kUnsupportedTile;
  }
  const device::ChannelArguments a = arguments_of(shape, tensors);
  const bool half = shape.type == DataType::kFloat16;
  if (shape.positions == 196) {
    return half ? launch_exact<device::Half, 196>(tile, shape.batch, a, stream)
                : launch_exact<device::BFloat16, 196>(tile, shape.batch, a, stream);
  }
  return half ? launch_exact<device::Half, 49>(tile, shape.batch, a, stream)
              : launch_exact<device::BFloat16, 49>(tile, shape.batch, a, stream);
}

Status launch_linear_channel_attention(const ChannelAttentionShape& shape,
                                       const ChannelAttentionTensors& tensors, void* workspace,
                                       cudaStream_t stream) {
  const Status status = check(shape, tensors);
  if (status != Status::kOk) return status;
  if (workspace == nullptr) return Status::kNullPointer;
  if (!aligned(workspace, 16)) return Status::kMisaligned;
  const Workspace parts(shape);
  char* bytes = static_cast<char*>(workspace);
  const device::LinearArguments a{arguments_of(shape, tensors), shape.batch,
                                  reinterpret_cast<float*>(bytes),
                                  reinterpret_cast<float*>(bytes + parts.base), bytes + parts.gram};
  const bool half = shape.type == DataType::kFloat16;
  if (shape.positions == 196) {
    return half ? launch_linear<device::Half, 196>(a, stream)
                : launch_linear<device::BFloat16, 196>(a, stream);
  }
  return half ? launch_linear<device::Half, 49>(a, stream)
              : launch_linear<device::BFloat16, 49>(a, stream);
}

}  // namespace framescore::kernels
