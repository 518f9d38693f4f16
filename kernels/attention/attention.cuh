// attention/attention.cuh: multi-head attention, forward, from packed QKV: the kernel.
//
// A block of kWarpsQ x kWarpsKv warps takes kRows query rows of one head. Each warp holds 16 or 32
// rows of Q in registers for the whole kernel and walks over the keys; warps along kWarpsKv take
// turns with the keys and merge at the end. K and V come in a ring of kStages tiles.
#pragma once

#include "attention/epilogue.cuh"
#include "device/ring.cuh"

namespace framescore::kernels::device {

struct AttentionArguments {
  const void* qkv;           // [batch, tokens, 3, heads, dim]
  const void* bias;          // [heads, tokens, bias_stride] or null
  const std::uint8_t* mask;  // [batch, mask_stride] or null
  void* out;                 // [batch, tokens, heads, dim]
  int tokens;
  float scale_log2;  // softmax scale * log2(e)
  int bias_stride;
  int mask_stride;
};

template <class Element_, int kDim_, int kWarpsQ_, int kWarpsKv_, int kRowBlocks_, int kKeys_,
          int kStages_, int kBlocks_, bool kBiased_>
struct AttentionConfig {
  using Element = Element_;
  static constexpr int kDim = kDim_;
  static constexpr int kWarpsQ = kWarpsQ_;
  static constexpr int kWarpsKv = kWarpsKv_;
  static constexpr int kRowBlocks = kRowBlocks_;  // of 16 rows, in each warp
  static constexpr int kKeys = kKeys_;            // of a tile, in each warp
  static constexpr int kStages = kStages_;
  static constexpr int kBlocks = kBlocks_;  // of a multiprocessor, by registers
  static constexpr bool kBiased = kBiased_;

  static constexpr int kThreads = kWarpsQ * kWarpsKv * kWarp;
  static constexpr int kWarpRows = 16 * kRowBlocks;
  static constexpr int kRows = kWarpsQ * kWarpRows;
  static constexpr int kTileKeys = kWarpsKv * kKeys;
  static constexpr int kQueryBytes = kRows * kDim * 2;
  static constexpr int kTileBytes = kTileKeys * kDim * 2;  // of K, and of V
  static constexpr int kRingBytes = kStages * 2 * kTileBytes;
  static constexpr int kMerge = kWarpsKv > 1 ? kMergeBytes<kWarpsQ * kWarpsKv, kDim> : 0;
  static constexpr int kSharedBytes = kQueryBytes + (kRingBytes > kMerge ? kRingBytes : kMerge);

  static_assert(kWarpsKv == 1 || kRowBlocks == 1, "the merge holds one block of rows a warp");
  static_assert(kKeys % 16 == 0 && kDim % 16 == 0);
};

// What one block works on.
template <class C>
struct AttentionBlock {
  const char* query;  // first row of the tile, at this head
  const char* key;    // token 0 of this image, at this head
  const char* value;
  int row_bytes;  // from a token to the next
  int first_row;  // token of the tile's first query
  int tokens;
  std::uint32_t query_tile;
  std::uint32_t ring;

  FRAMESCORE_DEVICE explicit AttentionBlock(const AttentionArguments& a) {
    const int heads = static_cast<int>(gridDim.y), head = static_cast<int>(blockIdx.y);
    const int head_bytes = C::kDim * 2;
    tokens = a.tokens;
    row_bytes = 3 * heads * head_bytes;
    first_row = static_cast<int>(blockIdx.x) * C::kRows;
    const std::size_t image = static_cast<std::size_t>(blockIdx.z) * tokens * row_bytes;
    const char* token0 = static_cast<const char*>(a.qkv) + image + head * head_bytes;
    query = token0 + static_cast<std::size_t>(first_row) * row_bytes;
    key = token0 + heads * head_bytes;
    value = key + heads * head_bytes;
    query_tile = shared_memory_base();
    ring = query_tile + C::kQueryBytes;
  }

  FRAMESCORE_DEVICE std::uint32_t key_tile(int tile) const {
    return ring + tile % C::kStages * 2 * C::kTileBytes;
  }
  FRAMESCORE_DEVICE std::uint32_t value_tile(int tile) const {
    return key_tile(tile) + C::kTileBytes;
  }

  FRAMESCORE_DEVICE void copy_queries() const {
    Tile<C::kDim * 2>::template copy<C::kRows, C::kThreads>(query_tile, query, row_bytes,
                                                            tokens - first_row);
  }

  // Starts copying a tile of K and V and closes the group, which is empty past the last tile.
  FRAMESCORE_DEVICE void copy_tile(int tile) const {
    using Rows = Tile<C::kDim * 2>;
    const int first = tile * C::kTileKeys;
    if (first < tokens) {
      const int offset = first * row_bytes;
      Rows::template copy<C::kTileKeys, C::kThreads>(key_tile(tile), key + offset, row_bytes,
                                                     tokens - first);
      Rows::template copy<C::kTileKeys, C::kThreads>(value_tile(tile), value + offset, row_bytes,
                                                     tokens - first);
    }
    copy_async_commit();
  }
};

// Scores of a warp's rows against its keys of a tile, in units of log2 when biased.
template <class C, bool kRagged>
struct TileScores {
  Fragment value[C::kRowBlocks][C::kKeys / 8];

  FRAMESCORE_DEVICE void multiply(const std::uint32_t (&queries)[C::kRowBlocks][C::kDim / 16][4],
                                  std::uint32_t key_tile, int key_row, int valid_keys) {
#pragma unroll
    for (int j = 0; j < C::kKeys / 16; ++j) {
#pragma unroll
      for (int m = 0; m < C::kRowBlocks; ++m) {
#pragma unroll
        for (int e = 0; e < 4; ++e) value[m][2 * j][e] = value[m][2 * j + 1][e] = 0;
      }
      if (kRagged && 16 * j >= valid_keys) continue;
#pragma unroll
      for (int k = 0; k < C::kDim / 16; ++k) {
        std::uint32_t right[4];
        load_matrices(right, Tile<C::kDim * 2>::paired_address(key_tile, key_row + 16 * j, k));
#pragma unroll
        for (int m = 0; m < C::kRowBlocks; ++m) {
          using T = typename C::Element;
          multiply_add<T>(value[m][2 * j], queries[m][k], right[0], right[1]);
          multiply_add<T>(value[m][2 * j + 1], queries[m][k], right[2], right[3]);
        }
      }
    }
  }

  // score = score * scale_log2 + bias * log2(e); bias pairs come straight from global memory.
  FRAMESCORE_DEVICE void add_bias(const AttentionArguments& a, int first_row, int first_key) {
    using T = typename C::Element;
    constexpr float kLog2E = 1.4426950408889634f;
    const char* head = static_cast<const char*>(a.bias) +
                       static_cast<std::size_t>(blockIdx.y) * a.tokens * a.bias_stride * 2;
#pragma unroll
    for (int m = 0; m < C::kRowBlocks; ++m) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = first_row + 16 * m + lane_id() / 4 + 8 * i;
        const char* line = head + static_cast<std::size_t>(row < a.tokens ? row : 0) *
                                      static_cast<std::size_t>(a.bias_stride) * 2;
#pragma unroll
        for (int n = 0; n < C::kKeys / 8; ++n) {
          const int key = first_key + 8 * n + lane_id() % 4 * 2;
          const bool exists = !kRagged || key < a.tokens;
          const float2 bias = unpack<T>(exists ? load_global<std::uint32_t>(line + key * 2) : 0u);
          float& low = value[m][n][2 * i];
          float& high = value[m][n][2 * i + 1];
          low = low * a.scale_log2 + bias.x * kLog2E;
          high = high * a.scale_log2 + bias.y * kLog2E;
        }
      }
    }
  }
};

// One warp's work.
template <class C>
struct AttentionWarp {
  std::uint32_t queries[C::kRowBlocks][C::kDim / 16][4];
  OnlineSoftmax<C::kRowBlocks, C::kDim> softmax;

  FRAMESCORE_DEVICE void load_queries(std::uint32_t query_tile, int first_row) {
#pragma unroll
    for (int m = 0; m < C::kRowBlocks; ++m) {
#pragma unroll
      for (int k = 0; k < C::kDim / 16; ++k) {
        load_matrices(queries[m][k],
                      Tile<C::kDim * 2>::block_address(query_tile, first_row + 16 * m, k));
      }
    }
  }

  // Attends to this warp's keys of a tile; kRagged: some may be masked or not exist.
  template <bool kRagged>
  FRAMESCORE_DEVICE void attend(const AttentionArguments& a, const AttentionBlock<C>& block,
                                int tile, int first_row, int warp_kv) {
    const int key_row = warp_kv * C::kKeys;  // in the tile
    const int first_key = tile * C::kTileKeys + key_row;
    const int valid_keys = block.tokens - first_key;
    if (kRagged && valid_keys <= 0) return;
    TileScores<C, kRagged> scores;
    scores.multiply(queries, block.key_tile(tile), key_row, valid_keys);
    if constexpr (C::kBiased) scores.add_bias(a, block.first_row + first_row, first_key);
    if constexpr (kRagged) {
      const std::uint8_t* mask = a.mask;
      if (mask != nullptr) mask += static_cast<std::size_t>(blockIdx.z) * a.mask_stride;
      KeptKeys<C::kKeys> kept;
      kept.find(mask, first_key, block.tokens);
      kept.apply(scores.value);
    }
    softmax.template weigh<C::kKeys>(scores.value, C::kBiased ? 1.0f : a.scale_log2);
    softmax.template add_values<typename C::Element, kRagged, C::kKeys>(
        scores.value, block.value_tile(tile), key_row, valid_keys);
  }
};

template <class C>
FRAMESCORE_DEVICE void attention(const AttentionArguments& a) {
  const AttentionBlock<C> block(a);
  const int warp = warp_id();
  const int warp_kv = warp % C::kWarpsKv;
  const int first_row = warp / C::kWarpsKv * C::kWarpRows;  // in the tile

  const auto copy_tile = [&](int tile) { block.copy_tile(tile); };
  block.copy_queries();
  fill_ring<C::kStages>(copy_tile);

  AttentionWarp<C> mine;
  mine.load_queries(block.query_tile, first_row);
  mine.softmax.clear();
  const bool has_rows = block.first_row + first_row < block.tokens;
  const int whole_tiles = a.mask != nullptr ? 0 : block.tokens / C::kTileKeys;
  const int tiles = (block.tokens + C::kTileKeys - 1) / C::kTileKeys;
  int tile = 0;
  for (; tile < whole_tiles; ++tile) {
    advance_ring<C::kStages>(tile, copy_tile);
    if (has_rows) mine.template attend<false>(a, block, tile, first_row, warp_kv);
  }
  for (; tile < tiles; ++tile) {
    advance_ring<C::kStages>(tile, copy_tile);
    if (has_rows) mine.template attend<true>(a, block, tile, first_row, warp_kv);
  }
  copy_async_wait<0>();  // the last groups are empty

  const int out_bytes = static_cast<int>(gridDim.y) * C::kDim * 2;
  const std::size_t row0 = static_cast<std::size_t>(blockIdx.z) * block.tokens +
                           static_cast<std::size_t>(block.first_row);
  const OutputRows out{static_cast<char*>(a.out) + row0 * out_bytes + blockIdx.y * C::kDim * 2,
                       out_bytes, block.tokens - block.first_row};
  using T = typename C::Element;
  if constexpr (C::kWarpsKv == 1) {
    if (has_rows) write_own_rows<T>(mine.softmax, block.query_tile, first_row, out);
  } else {
    write_merged_rows<T, C::kWarpsKv>(mine.softmax, C::kBiased ? 1.0f : a.scale_log2, block.ring,
                                      block.query_tile, warp, first_row, out);
  }
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, C::kBlocks)
    attention_kernel(const __grid_constant__ AttentionArguments a) {
  attention<C>(a);
}

}  // namespace framescore::kernels::device
