// attention/attention_int8.cu: checks arguments, chooses a tile, launches.
#include <cstdint>

#include "attention/attention_int8.cuh"
#include "attention/quantize_qk.cuh"
#include "device/launch.cuh"
#include "framescore/kernels/attention_int8.h"

namespace framescore::kernels {
namespace {

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

Status check(const Int8AttentionShape& s, const QuantizedQk& quantized, const void* qkv) {
  const bool counts = s.batch >= 1 && s.batch <= 65535 && s.tokens >= 1 && s.tokens <= 4096 &&
                      s.heads >= 1 && s.heads <= 65535;
  const bool dim = s.head_dim == 32 || s.head_dim == 64 || s.head_dim == 128;
  if (!counts || !dim || s.heads > 65536 / s.head_dim) return Status::kBadShape;
  if (!(s.scale > 0 && s.scale < 1e6f)) return Status::kBadShape;  // refuses NaN too
  const void* pointers[] = {qkv, quantized.q, quantized.k, quantized.q_scale, quantized.k_scale};
  for (const void* pointer : pointers) {
    if (pointer == nullptr) return Status::kNullPointer;
  }
  for (const void* pointer : pointers) {
    if (!aligned(pointer)) return Status::kMisaligned;
  }
  return Status::kOk;
}

int scale_stride(const Int8AttentionShape& s) { return (s.tokens + 3) / 4 * 4; }

dim3 grid_of(const Int8AttentionShape& s, int rows) {
  return {static_cast<unsigned>((s.tokens + rows - 1) / rows), static_cast<unsigned>(s.heads),
          static_cast<unsigned>(s.batch)};
}

template <int dim>
Status quantize(const Int8AttentionShape& s, const device::QuantizeArguments& arguments,
                cudaStream_t stream) {
  using Config = device::QuantizeConfig<dim>;
  return device::launch<device::quantize_qk_kernel<Config>>(
      grid_of(s, Config::kTokens), dim3(Config::kThreads), Config::kSharedBytes, stream, arguments);
}

template <class Config>
Status attend(const Int8AttentionShape& s, const device::Int8Arguments& arguments,
              cudaStream_t stream) {
  static_assert(Config::kSharedBytes <= device::kPortableSharedBytes);
  return device::launch<device::attention_int8_kernel<Config>>(
      grid_of(s, Config::kRows), dim3(Config::kThreads), Config::kSharedBytes, stream, arguments);
}

template <int dim>
Status attend_in(Int8AttentionTile tile, const Int8AttentionShape& s,
                 const device::Int8Arguments& arguments, cudaStream_t stream) {
  constexpr bool small = dim <= 64;
  if (tile == Int8AttentionTile::kRows64) {
    return attend<device::Int8Config<dim, 4, 1, small ? 64 : 32, small ? 3 : 2>>(s, arguments,
                                                                                 stream);
  }
  // At 128 the tile of 4 x 16 keys would not fit 48 KB in two stages: two warps share the keys.
  return attend<device::Int8Config<dim, 1, small ? 4 : 2, 16, 3>>(s, arguments, stream);
}

// 16-row tiles where 64-row ones leave multiprocessors without work.
Int8AttentionTile choose_tile(const Int8AttentionShape& s, int multiprocessors) {
  const long long blocks = static_cast<long long>((s.tokens + 63) / 64) * s.heads * s.batch;
  return blocks >= multiprocessors ? Int8AttentionTile::kRows64 : Int8AttentionTile::kRows16;
}

}  // namespace

std::size_t quantized_bytes(const Int8AttentionShape& s) {
  return static_cast<std::size_t>(s.batch) * s.heads * s.tokens * s.head_dim;
}

std::size_t quantized_scale_bytes(const Int8AttentionShape& s) {
  return static_cast<std::size_t>(s.batch) * s.heads * scale_stride(s) * sizeof(float);
}

Status launch_quantize_qk(const Int8AttentionShape& s, const void* qkv, const QuantizedQk& out,
                          cudaStream_t stream) {
  const Status status = check(s, out, qkv);
  if (status != Status::kOk) return status;
  const device::QuantizeArguments a{static_cast<const char*>(qkv),
                                    out.q,
                                    out.k,
                                    out.q_scale,
                                    out.k_scale,
                                    s.tokens,
                                    scale_stride(s)};
  switch (s.head_dim) {
    case 32:
      return quantize<32>(s, a, stream);
    case 64:
      return quantize<64>(s, a, stream);
    default:
      return quantize<128>(s, a, stream);
  }
}

Status launch_attention_int8(const Int8AttentionShape& s, const QuantizedQk& quantized,
                             const void* qkv, void* out, cudaStream_t stream,
                             Int8AttentionTile tile) {
  const Status status = check(s, quantized, qkv);
  if (status != Status::kOk) return status;
  if (out == nullptr) return Status::kNullPointer;
  if (!aligned(out)) return Status::kMisaligned;
  if (tile == Int8AttentionTile::kAuto) {
    tile = choose_tile(s, device::current_device_limits().multiprocessors);
  }
  if (tile != Int8AttentionTile::kRows64 && tile != Int8AttentionTile::kRows16) {
    return Status::kUnsupportedTile;
  }
  constexpr float kLog2E = 1.4426950408889634f;
  const device::Int8Arguments a{reinterpret_cast<const char*>(quantized.q),
                                reinterpret_cast<const char*>(quantized.k),
                                quantized.q_scale,
                                quantized.k_scale,
                                static_cast<const char*>(qkv),
                                static_cast<char*>(out),
                                s.tokens,
                                scale_stride(s),
                                s.scale * kLog2E};
  switch (s.head_dim) {
    case 32:
      return attend_in<32>(tile, s, a, stream);
    case 64:
      return attend_in<64>(tile, s, a, stream);
    default:
      return attend_in<128>(tile, s, a, stream);
  }
}

}  // namespace framescore::kernels
