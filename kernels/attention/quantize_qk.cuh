// attention/quantize_qk.cuh: Q and K to int8, one scale a token, keys less their mean.
//
// A block takes kTokens tokens of one head. It sums all keys of the head itself, so that one launch
// does: the keys of a head are some tens of kilobytes and lie in L2 after the first block.
#pragma once

#include "attention/online_softmax.cuh"

namespace framescore::kernels::device {

struct QuantizeArguments {
  const char* qkv;  // [batch, tokens, 3, heads, dim]
  std::int8_t* q;   // [batch, heads, tokens, dim]
  std::int8_t* k;
  float* q_scale;  // [batch, heads, scale_stride]
  float* k_scale;
  int tokens;
  int scale_stride;
};

template <int kDim_>
struct QuantizeConfig {
  static constexpr int kDim = kDim_;
  static constexpr int kThreads = 256;
  static constexpr int kTokens = 64;
  static constexpr int kChunks = kDim / 8;            // of 8 elements, one a thread
  static constexpr int kGroups = kThreads / kChunks;  // tokens at a time
  // Sums lie as [half a chunk][group][chunk] of 4 floats, then their means as [half][chunk].
  static constexpr int kHalfBytes = kGroups * kChunks * 16 + 64;  // 64: to other banks
  static constexpr int kSumBytes = 2 * kHalfBytes;
  static constexpr int kSharedBytes = kSumBytes + 2 * kChunks * 16;
};

struct Eight {
  float value[8];

  FRAMESCORE_DEVICE void load(const char* address) {
    const uint4 packed = load_global<uint4>(address);
    const std::uint32_t pairs[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = unpack<Half>(pairs[i]);
      value[2 * i] = pair.x;
      value[2 * i + 1] = pair.y;
    }
  }
};

// The mean over all tokens of this thread's 8 columns of K; `key` is token 0.
template <class C>
FRAMESCORE_DEVICE Eight mean_key(const char* key, int row_bytes, int tokens) {
  const int thread = static_cast<int>(threadIdx.x);
  const int chunk = thread % C::kChunks, group = thread / C::kChunks;
  const std::uint32_t sums = shared_memory_base(), means = sums + C::kSumBytes;
  Eight sum = {};
  for (int token = group; token < tokens; token += C::kGroups) {
    Eight one;
    one.load(key + token * row_bytes + chunk * 16);
#pragma unroll
    for (int i = 0; i < 8; ++i) sum.value[i] += one.value[i];
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float* part = sum.value + 4 * half;
    store_shared(sums + half * C::kHalfBytes + (group * C::kChunks + chunk) * 16,
                 float4{part[0], part[1], part[2], part[3]});
  }
  block_barrier();
  if (thread < 2 * C::kChunks) {
    const int half = thread / C::kChunks;
    float4 total = {0, 0, 0, 0};
    for (int g = 0; g < C::kGroups; ++g) {
      const float4 part = load_shared<float4>(sums + half * C::kHalfBytes +
                                              (g * C::kChunks + thread % C::kChunks) * 16);
      total = {total.x + part.x, total.y + part.y, total.z + part.z, total.w + part.w};
    }
    const float each = 1.0f / static_cast<float>(tokens);
    store_shared(means + thread * 16,
                 float4{total.x * each, total.y * each, total.z * each, total.w * each});
  }
  block_barrier();
  const float4 low = load_shared<float4>(means + chunk * 16);
  const float4 high = load_shared<float4>(means + (C::kChunks + chunk) * 16);
  return {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

FRAMESCORE_DEVICE std::uint32_t pack_int8(const float* value, float inverse_scale) {
  std::uint32_t packed = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int rounded = round_to_int(value[i] * inverse_scale);
    packed |= (static_cast<std::uint32_t>(rounded) & 0xffu) << (8 * i);
  }
  return packed;
}

// Quantises this thread's 8 elements of a token; the kChunks threads of the token share its scale.
//
// Integers know no NaN: the scale carries it. Magnitudes are compared by their bits, of which those
// of NaN are the largest.
template <class C>
FRAMESCORE_DEVICE void quantize_token(const Eight& x, std::int8_t* row, float* scale, bool exists) {
  const int chunk = static_cast<int>(threadIdx.x) % C::kChunks;
  std::uint32_t bits = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t magnitude = bits_of(x.value[i]) & 0x7fffffffu;
    bits = magnitude > bits ? magnitude : bits;
  }
#pragma unroll
  for (int distance = 1; distance < C::kChunks; distance *= 2) {
    const std::uint32_t other = shuffle_xor(bits, distance);
    bits = other > bits ? other : bits;
  }
  const float largest = float_of(bits);
  const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  if (!exists) return;
  store_global(row + chunk * 8,
               uint2{pack_int8(x.value, inverse), pack_int8(x.value + 4, inverse)});
  if (chunk == 0) store_global(scale, largest / 127.0f);
}

template <class C>
FRAMESCORE_DEVICE void quantize_qk(const QuantizeArguments& a) {
  const int heads = static_cast<int>(gridDim.y), head_bytes = C::kDim * 2;
  const int row_bytes = 3 * heads * head_bytes;
  const std::size_t image = static_cast<std::size_t>(blockIdx.z) * a.tokens;
  const char* query = a.qkv + image * row_bytes + blockIdx.y * head_bytes;
  const char* key = query + heads * head_bytes;
  const Eight mean = mean_key<C>(key, row_bytes, a.tokens);

  const int chunk = static_cast<int>(threadIdx.x) % C::kChunks;
  const int group = static_cast<int>(threadIdx.x) / C::kChunks;
  const std::size_t head = static_cast<std::size_t>(blockIdx.z) * heads + blockIdx.y;
  for (int i = group; i < C::kTokens; i += C::kGroups) {
    const int token = static_cast<int>(blockIdx.x) * C::kTokens + i;
    const bool exists = token < a.tokens;
    const int offset = (exists ? token : 0) * row_bytes + chunk * 16;
    const std::size_t row = (head * a.tokens + (exists ? token : 0)) * C::kDim;
    const std::size_t scale = head * a.scale_stride + (exists ? token : 0);
    Eight x;
    x.load(query + offset);
    quantize_token<C>(x, a.q + row, a.q_scale + scale, exists);
    x.load(key + offset);
#pragma unroll
    for (int e = 0; e < 8; ++e) x.value[e] -= mean.value[e];
    quantize_token<C>(x, a.k + row, a.k_scale + scale, exists);
  }
}

template <class C>
__global__ void __launch_bounds__(C::kThreads)
    quantize_qk_kernel(const __grid_constant__ QuantizeArguments a) {
  quantize_qk<C>(a);
}

}  // namespace framescore::kernels::device
