// attention/attention_int8.cuh: attention with int8 scores and float16 values: the kernel.
//
// Laid out as attention.cuh; only the product of Q and K differs. ldmatrix moves 8 rows of 16 bytes
// whatever they hold: of int8 they are, lane by lane, the operands of m16n8k32.
#pragma once

#include "attention/epilogue.cuh"
#include "device/ring.cuh"

namespace framescore::kernels::device {

struct Int8Arguments {
  const char* q;         // [batch, heads, tokens, dim] int8
  const char* k;         //
  const float* q_scale;  // [batch, heads, scale_stride]
  const float* k_scale;  //
  const char* qkv;       // [batch, tokens, 3, heads, dim] float16, for V
  char* out;             // [batch, tokens, heads, dim]
  int tokens;
  int scale_stride;
  float scale_log2;  // softmax scale * log2(e)
};

template <int kDim_, int kWarpsQ_, int kWarpsKv_, int kKeys_, int kBlocks_>
struct Int8Config {
  static constexpr int kDim = kDim_;
  static constexpr int kWarpsQ = kWarpsQ_;
  static constexpr int kWarpsKv = kWarpsKv_;
  static constexpr int kKeys = kKeys_;  // of a tile, in each warp
  static constexpr int kStages = 2;
  static constexpr int kBlocks = kBlocks_;  // of a multiprocessor, by registers

  static constexpr int kThreads = kWarpsQ * kWarpsKv * kWarp;
  static constexpr int kRows = 16 * kWarpsQ;
  static constexpr int kTileKeys = kWarpsKv * kKeys;
  static constexpr int kSteps = kDim / 32;
  static constexpr int kQueryBytes = kRows * kDim * 2;  // int8, later the staging of the output
  static constexpr int kKeyBytes = kTileKeys * kDim;
  static constexpr int kValueBytes = kTileKeys * kDim * 2;
  static constexpr int kRingBytes = kStages * (kKeyBytes + kValueBytes);
  static constexpr int kMerge = kWarpsKv > 1 ? kMergeBytes<kWarpsQ * kWarpsKv, kDim> : 0;
  static constexpr int kSharedBytes = kQueryBytes + (kRingBytes > kMerge ? kRingBytes : kMerge);
  using Bytes = Tile<kDim>;
  using Values = Tile<kDim * 2>;
};

// What one block works on.
template <class C>
struct Int8Block {
  const char* query;
  const char* key;
  const char* value;
  const float* query_scale;
  const float* key_scale;
  int tokens, first_row, value_bytes;
  std::uint32_t query_tile, ring;

  FRAMESCORE_DEVICE explicit Int8Block(const Int8Arguments& a) {
    const int heads = static_cast<int>(gridDim.y);
    const std::size_t head = static_cast<std::size_t>(blockIdx.z) * heads + blockIdx.y;
    tokens = a.tokens;
    first_row = static_cast<int>(blockIdx.x) * C::kRows;
    value_bytes = 3 * heads * C::kDim * 2;
    query = a.q + (head * tokens + first_row) * C::kDim;
    key = a.k + head * tokens * C::kDim;
    value = a.qkv + static_cast<std::size_t>(blockIdx.z) * tokens * value_bytes +
            (2 * heads + blockIdx.y) * C::kDim * 2;
    query_scale = a.q_scale + head * a.scale_stride;
    key_scale = a.k_scale + head * a.scale_stride;
    query_tile = shared_memory_base();
    ring = query_tile + C::kQueryBytes;
  }

  FRAMESCORE_DEVICE std::uint32_t key_tile(int tile) const {
    return ring + tile % C::kStages * (C::kKeyBytes + C::kValueBytes);
  }
  FRAMESCORE_DEVICE std::uint32_t value_tile(int tile) const {
    return key_tile(tile) + C::kKeyBytes;
  }

  FRAMESCORE_DEVICE void copy_queries() const {
    C::Bytes::template copy<C::kRows, C::kThreads>(query_tile, query, C::kDim, tokens - first_row);
  }

  FRAMESCORE_DEVICE void copy_tile(int tile) const {
    const int first = tile * C::kTileKeys;
    if (first < tokens) {
      C::Bytes::template copy<C::kTileKeys, C::kThreads>(key_tile(tile), key + first * C::kDim,
                                                         C::kDim, tokens - first);
      C::Values::template copy<C::kTileKeys, C::kThreads>(
          value_tile(tile), value + first * value_bytes, value_bytes, tokens - first);
    }
    copy_async_commit();
  }
};

template <class C>
struct Int8Warp {
  std::uint32_t queries[C::kSteps][4];
  float query_scale[2];  // times softmax scale * log2(e)
  OnlineSoftmax<1, C::kDim> softmax;

  FRAMESCORE_DEVICE void load_queries(const Int8Arguments& a, const Int8Block<C>& block,
                                      int first_row) {
#pragma unroll
    for (int step = 0; step < C::kSteps; ++step) {
      load_matrices(queries[step], C::Bytes::block_address(block.query_tile, first_row, step));
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int token = block.first_row + first_row + lane_id() / 4 + 8 * i;
      const bool exists = token < block.tokens;
      query_scale[i] = exists ? load_global<float>(block.query_scale + token) * a.scale_log2 : 0.0f;
    }
  }

  // Scores of 16 keys in units of log2, into the two fragments of the keys.
  FRAMESCORE_DEVICE void find_scores(Fragment& low, Fragment& high, std::uint32_t key_tile,
                                     int key_row) const {
    int sums[2][4] = {};
#pragma unroll
    for (int step = 0; step < C::kSteps; ++step) {
      std::uint32_t right[4];
      load_matrices(right, C::Bytes::paired_address(key_tile, key_row, step));
      multiply_add_int8(sums[0], queries[step], right[0], right[1]);
      multiply_add_int8(sums[1], queries[step], right[2], right[3]);
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      low[e] = static_cast<float>(sums[0][e]) * query_scale[e / 2];
      high[e] = static_cast<float>(sums[1][e]) * query_scale[e / 2];
    }
  }

  // Of keys `key`, +1; what lies behind the last token is not read.
  template <bool kRagged>
  static FRAMESCORE_DEVICE float2 load_scales(const Int8Block<C>& block, int key) {
    const float* first = block.key_scale + key;
    if (!kRagged || key + 1 < block.tokens) return load_global<float2>(first);
    return {key < block.tokens ? load_global<float>(first) : 0.0f, 0.0f};
  }

  template <bool kRagged>
  FRAMESCORE_DEVICE void attend(const Int8Block<C>& block, int tile, int warp_kv) {
    const int key_row = warp_kv * C::kKeys;
    const int first_key = tile * C::kTileKeys + key_row;
    const int valid_keys = block.tokens - first_key;
    if (kRagged && valid_keys <= 0) return;
    Fragment scores[1][C::kKeys / 8] = {};
#pragma unroll
    for (int j = 0; j < C::kKeys / 16; ++j) {
      if (kRagged && 16 * j >= valid_keys) break;
      find_scores(scores[0][2 * j], scores[0][2 * j + 1], block.key_tile(tile), key_row + 16 * j);
    }
#pragma unroll
    for (int n = 0; n < C::kKeys / 8; ++n) {
      const int key = first_key + 8 * n + 2 * (lane_id() % 4);
      const float2 scale = load_scales<kRagged>(block, key);
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[0][n][e] *= e % 2 == 0 ? scale.x : scale.y;
    }
    if constexpr (kRagged) {
      KeptKeys<C::kKeys> kept;
      kept.find(nullptr, first_key, block.tokens);
      kept.apply(scores);
    }
    softmax.template weigh<C::kKeys>(scores, 1.0f);
    softmax.template add_values<Half, kRagged, C::kKeys>(scores, block.value_tile(tile), key_row,
                                                         valid_keys);
  }
};

template <class C>
FRAMESCORE_DEVICE void attention_int8(const Int8Arguments& a) {
  const Int8Block<C> block(a);
  const int warp = warp_id(), warp_kv = warp % C::kWarpsKv;
  const int first_row = warp / C::kWarpsKv * 16;
  const auto copy_tile = [&](int tile) { block.copy_tile(tile); };
  block.copy_queries();
  fill_ring<C::kStages>(copy_tile);

  Int8Warp<C> mine;
  mine.load_queries(a, block, first_row);
  mine.softmax.clear();
  const bool has_rows = block.first_row + first_row < block.tokens;
  const int whole_tiles = block.tokens / C::kTileKeys;
  int tile = 0;
  for (; tile < whole_tiles; ++tile) {
    advance_ring<C::kStages>(tile, copy_tile);
    if (has_rows) mine.template attend<false>(block, tile, warp_kv);
  }
  if (tile * C::kTileKeys < block.tokens) {
    advance_ring<C::kStages>(tile, copy_tile);
    if (has_rows) mine.template attend<true>(block, tile, warp_kv);
  }
  copy_async_wait<0>();  // the last groups are empty

  const int out_bytes = static_cast<int>(gridDim.y) * C::kDim * 2;
  const std::size_t row0 = static_cast<std::size_t>(blockIdx.z) * block.tokens + block.first_row;
  const OutputRows out{a.out + row0 * out_bytes + blockIdx.y * C::kDim * 2, out_bytes,
                       block.tokens - block.first_row};
  if constexpr (C::kWarpsKv == 1) {
    block_barrier();  // the staging tile reaches into rows of Q that other warps read
    if (has_rows) write_own_rows<Half>(mine.softmax, block.query_tile, first_row, out);
  } else {
    write_merged_rows<Half, C::kWarpsKv>(mine.softmax, 1.0f, block.ring, block.query_tile, warp,
                                         first_row, out);
  }
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, C::kBlocks)
    attention_int8_kernel(const __grid_constant__ Int8Arguments a) {
  attention_int8<C>(a);
}

}  // namespace framescore::kernels::device
