// attention/attention.cu: checks arguments, chooses a tile, and hands over to the head dimension.
#include <cstdint>

#include "attention/tiles.cuh"
#include "device/launch.cuh"
#include "framescore/kernels/attention.h"

namespace framescore::kernels {

extern template Status launch_attention_of<32>(const AttentionLaunch&);
extern template Status launch_attention_of<48>(const AttentionLaunch&);
extern template Status launch_attention_of<64>(const AttentionLaunch&);
extern template Status launch_attention_of<96>(const AttentionLaunch&);
extern template Status launch_attention_of<128>(const AttentionLaunch&);
extern template std::size_t attention_shared_bytes_of<32>(AttentionTile);
extern template std::size_t attention_shared_bytes_of<48>(AttentionTile);
extern template std::size_t attention_shared_bytes_of<64>(AttentionTile);
extern template std::size_t attention_shared_bytes_of<96>(AttentionTile);
extern template std::size_t attention_shared_bytes_of<128>(AttentionTile);

namespace {

bool aligned(const void* pointer, std::uintptr_t bytes) {
  return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

bool known_head_dim(int dim) {
  return dim == 32 || dim == 48 || dim == 64 || dim == 96 || dim == 128;
}

Status check_shape(const AttentionShape& s, bool biased, bool masked) {
  if (s.type != DataType::kFloat16 && s.type != DataType::kBFloat16) return Status::kBadType;
  const bool counts = s.batch >= 1 && s.batch <= 65535 && s.tokens >= 1 && s.tokens <= 4096 &&
                      s.heads >= 1 && s.heads <= 65535;
  if (!counts || !known_head_dim(s.head_dim) || s.heads > 65536 / s.head_dim) {
    return Status::kBadShape;
  }
  if (!(s.scale > 0 && s.scale < 1e6f)) return Status::kBadShape;  // refuses NaN too
  if (biased && s.bias_stride < s.tokens) return Status::kBadShape;
  if (biased && s.bias_stride % 2 != 0) return Status::kMisaligned;
  if (masked && s.mask_stride < s.tokens) return Status::kBadShape;
  return Status::kOk;
}

Status check_pointers(const void* qkv, const void* bias, const void* out) {
  if (qkv == nullptr || out == nullptr) return Status::kNullPointer;
  if (!aligned(qkv, 16) || !aligned(out, 16) || !aligned(bias, 4)) return Status::kMisaligned;
  return Status::kOk;
}

Status launch_head_dim(int head_dim, const AttentionLaunch& launch) {
  switch (head_dim) {
    case 32:
      return launch_attention_of<32>(launch);
    case 48:
      return launch_attention_of<48>(launch);
    case 64:
      return launch_attention_of<64>(launch);
    case 96:
      return launch_attention_of<96>(launch);
    default:
      return launch_attention_of<128>(launch);
  }
}

}  // namespace

std::size_t attention_shared_bytes(AttentionTile tile, int head_dim) {
  switch (head_dim) {
    case 32:
      return attention_shared_bytes_of<32>(tile);
    case 48:
      return attention_shared_bytes_of<48>(tile);
    case 64:
      return attention_shared_bytes_of<64>(tile);
    case 96:
      return attention_shared_bytes_of<96>(tile);
    case 128:
      return attention_shared_bytes_of<128>(tile);
    default:
      return 0;
  }
}

// The largest tile that still gives every multiprocessor work: large tiles read K and V less often
// and feed the tensor cores better, small ones spread one image over a large GPU. From the roofline
// (kernels/README.md); to be replaced by measurements.
AttentionTile choose_attention_tile(const AttentionShape& s, int multiprocessors,
                                    int shared_bytes_per_block) {
  const auto blocks = [&](int rows) {
    return static_cast<long long>((s.tokens + rows - 1) / rows) * s.heads * s.batch;
  };
  const bool small = s.head_dim <= 64;
  if (small && blocks(128) >= 2LL * multiprocessors) return AttentionTile::kRows128;
  if (blocks(64) >= multiprocessors) return AttentionTile::kRows64;
  if (small && blocks(32) >= multiprocessors) return AttentionTile::kRows32;
  const std::size_t resident = attention_shared_bytes(AttentionTile::kRows16Resident, s.head_dim);
  const bool fits = resident > 0 && resident <= static_cast<std::size_t>(shared_bytes_per_block);
  return fits && s.tokens <= 256 ? AttentionTile::kRows16Resident : AttentionTile::kRows16;
}

Status launch_attention(const AttentionShape& shape, const void* qkv, const void* bias,
                        const std::uint8_t* mask, void* out, cudaStream_t stream,
                        AttentionTile tile) {
  Status status = check_shape(shape, bias != nullptr, mask != nullptr);
  if (status == Status::kOk) status = check_pointers(qkv, bias, out);
  if (status != Status::kOk) return status;
  const device::DeviceLimits limits = device::current_device_limits();
  if (tile == AttentionTile::kAuto) {
    tile = choose_attention_tile(shape, limits.multiprocessors, limits.shared_bytes_per_block);
  }
  const std::size_t bytes = attention_shared_bytes(tile, shape.head_dim);
  if (bytes == 0 || bytes > static_cast<std::size_t>(limits.shared_bytes_per_block)) {
    return Status::kUnsupportedTile;
  }
  constexpr float kLog2E = 1.4426950408889634f;
  const dim3 grid(1, static_cast<unsigned>(shape.heads), static_cast<unsigned>(shape.batch));
  return launch_head_dim(shape.head_dim, {tile,
                                          shape.type,
                                          grid,
                                          stream,
                                          {qkv, bias, mask, out, shape.tokens, shape.scale * kLog2E,
                                           shape.bias_stride, shape.mask_stride}});
}

}  // namespace framescore::kernels
