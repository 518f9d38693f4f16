// channel_attention/channel_attention.cuh: the exact form, one kernel.
//
// A block of kWarpsQ x kWarpsKv warps takes 16 * kWarpsQ channels as queries and walks over all
// channels as keys. As scores are bounded, weights need no maximum and sums of warps that saw
// different keys simply add. Norms are found here: of the queries once, of the keys tile by tile,
// by all threads together while no tensor core waits for them.
#pragma once

#include "channel_attention/channel_rows.cuh"
#include "device/ring.cuh"

namespace framescore::kernels::device {

struct ChannelArguments {
  const void* q;  // [batch, channels, stride]
  const void* k;
  const void* v;
  int channels;
  int stride_bytes;  // of q, k, v
  float scale;       // 1 / sqrt(positions)
  ChannelRows rows;  // of the whole tensors
};

template <class Element, int kPositions, int kWarpsQ_, int kWarpsKv_, int kKeys_, int kStages_,
          int kBlocksPerSm_>
struct ChannelConfig : ChannelGeometry<Element, kPositions> {
  using G = ChannelGeometry<Element, kPositions>;
  static constexpr int kWarpsQ = kWarpsQ_;
  static constexpr int kWarpsKv = kWarpsKv_;
  static constexpr int kKeys = kKeys_;  // of a tile, in each warp
  static constexpr int kStages = kStages_;
  static constexpr int kBlocksPerSm = kBlocksPerSm_;  // by registers

  static constexpr int kThreads = kWarpsQ * kWarpsKv * kWarp;
  static constexpr int kRows = 16 * kWarpsQ;
  static constexpr int kTileKeys = kWarpsKv * kKeys;
  static constexpr int kQueryBytes = kRows * G::kRowBytes;
  static constexpr int kTileBytes = kTileKeys * G::kRowBytes;  // of K, and of V
  static constexpr int kNormBytes = (kRows + kTileKeys) * 4;
  static constexpr int kRingBytes = kStages * 2 * kTileBytes;
  // The merge takes the place of Q, K and V: a float4 for each lane and block of columns.
  static constexpr int kMergeBytes = kWarpsQ * (kWarpsKv - 1) * G::kBlocks * kWarp * 16;
  static_assert(kMergeBytes <= kQueryBytes + kRingBytes);
  static constexpr int kSharedBytes = kQueryBytes + kRingBytes + kNormBytes;
};

// What one block works on.
template <class C>
struct ChannelBlock {
  const char* query;
  const char* key;
  const char* value;
  int stride_bytes, channels;
  std::uint32_t query_tile, ring, query_norms, key_norms;

  FRAMESCORE_DEVICE explicit ChannelBlock(const ChannelArguments& a) {
    channels = a.channels;
    stride_bytes = a.stride_bytes;
    const std::size_t image = static_cast<std::size_t>(blockIdx.y) * channels * stride_bytes;
    query = static_cast<const char*>(a.q) + image + blockIdx.x * C::kRows * stride_bytes;
    key = static_cast<const char*>(a.k) + image;
    value = static_cast<const char*>(a.v) + image;
    query_tile = shared_memory_base();
    ring = query_tile + C::kQueryBytes;
    query_norms = ring + C::kRingBytes;
    key_norms = query_norms + C::kRows * 4;
  }

  FRAMESCORE_DEVICE std::uint32_t key_tile(int tile) const {
    return ring + tile % C::kStages * 2 * C::kTileBytes;
  }
  FRAMESCORE_DEVICE std::uint32_t value_tile(int tile) const {
    return key_tile(tile) + C::kTileBytes;
  }

  FRAMESCORE_DEVICE void copy_queries() const {
    C::Rows::template copy<C::kRows, C::kThreads>(query_tile, query, stride_bytes, C::kRows,
                                                  C::kValidBytes);
  }

  FRAMESCORE_DEVICE void copy_tile(int tile) const {
    const int first = tile * C::kTileKeys;
    if (first < channels) {
      const int offset = first * stride_bytes;
      C::Rows::template copy<C::kTileKeys, C::kThreads>(key_tile(tile), key + offset, stride_bytes,
                                                        C::kTileKeys, C::kValidBytes);
      C::Rows::template copy<C::kTileKeys, C::kThreads>(value_tile(tile), value + offset,
                                                        stride_bytes, C::kTileKeys, C::kValidBytes);
    }
    copy_async_commit();
  }
};

// exp(x) for |x| <= 1/7.
FRAMESCORE_DEVICE float bounded_exp(float x) {
  return 1.0f + x * (1.0f + x * (0.5f + x * (1.0f / 6.0f)));
}

// Scores of 16 queries against kKeys keys; Q is read from shared memory again for each tile, since
// the sums take the registers.
template <class C>
FRAMESCORE_DEVICE void find_scores(Fragment (&scores)[C::kKeys / 8], std::uint32_t query_tile,
                                   int query_row, std::uint32_t key_tile, int key_row) {
  using T = typename C::Element;
#pragma unroll
  for (int n = 0; n < C::kKeys / 8; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) scores[n][e] = 0;
  }
#pragma unroll
  for (int step = 0; step < C::kSteps; ++step) {
    std::uint32_t left[4];
    load_matrices(left, C::Rows::block_address(query_tile, query_row, step));
#pragma unroll
    for (int j = 0; j < C::kKeys / 16; ++j) {
      std::uint32_t right[4];
      load_matrices(right, C::Rows::paired_address(key_tile, key_row + 16 * j, step));
      multiply_add<T>(scores[2 * j], left, right[0], right[1]);
      multiply_add<T>(scores[2 * j + 1], left, right[2], right[3]);
    }
  }
}

// Scores to weights: the norms of query and key, then exp.
template <class C>
FRAMESCORE_DEVICE void weigh_bounded(Fragment (&scores)[C::kKeys / 8],
                                     const float (&query_scale)[2], std::uint32_t key_norms) {
#pragma unroll
  for (int n = 0; n < C::kKeys / 8; ++n) {
    const float2 key = load_shared<float2>(key_norms + 4 * (8 * n + 2 * (lane_id() % 4)));
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      scores[n][2 * i] = bounded_exp(scores[n][2 * i] * query_scale[i] * key.x);
      scores[n][2 * i + 1] = bounded_exp(scores[n][2 * i + 1] * query_scale[i] * key.y);
    }
  }
}

template <class C>
FRAMESCORE_DEVICE void add_weighted_values(Fragment (&sums)[C::kBlocks],
                                           const Fragment (&weights)[C::kKeys / 8],
                                           std::uint32_t value_tile, int value_row) {
  using T = typename C::Element;
#pragma unroll
  for (int j = 0; j < C::kKeys / 16; ++j) {
    const std::uint32_t left[4] = {pack<T>(weights[2 * j][0], weights[2 * j][1]),
                                   pack<T>(weights[2 * j][2], weights[2 * j][3]),
                                   pack<T>(weights[2 * j + 1][0], weights[2 * j + 1][1]),
                                   pack<T>(weights[2 * j + 1][2], weights[2 * j + 1][3])};
    multiply_values<typename C::G>(sums, left, value_tile, value_row + 16 * j, true);
  }
}

// Adds the sums of the warps that share query rows into those of the first of them.
template <class C>
FRAMESCORE_DEVICE void merge_sums(Fragment (&sums)[C::kBlocks], std::uint32_t merge, int warp) {
  const int warp_kv = warp % C::kWarpsKv, group = warp / C::kWarpsKv * (C::kWarpsKv - 1);
  const auto address = [&](int giver, int n) {
    return merge + (((group + giver) * C::kBlocks + n) * kWarp + lane_id()) * 16;
  };
  block_barrier();  // all warps have left K and V
#pragma unroll
  for (int n = 0; n < C::kBlocks; ++n) {
    if (warp_kv == 0) break;
    store_shared(address(warp_kv - 1, n), float4{sums[n][0], sums[n][1], sums[n][2], sums[n][3]});
  }
  block_barrier();
#pragma unroll
  for (int giver = 0; giver < C::kWarpsKv - 1; ++giver) {
    if (warp_kv != 0) break;
#pragma unroll
    for (int n = 0; n < C::kBlocks; ++n) {
      const float4 part = load_shared<float4>(address(giver, n));
      sums[n][0] += part.x;
      sums[n][1] += part.y;
      sums[n][2] += part.z;
      sums[n][3] += part.w;
    }
  }
}

// The rows of a block's tile, out of those of the whole tensors.
FRAMESCORE_DEVICE ChannelRows rows_of_tile(ChannelRows rows, std::size_t first) {
  if (rows.residual != nullptr) rows.residual += first * rows.residual_bytes;
  rows.out += first * rows.out_bytes;
  return rows;
}

template <class C>
FRAMESCORE_DEVICE void channel_attention(const ChannelArguments& a) {
  using G = typename C::G;
  const ChannelBlock<C> block(a);
  const int warp = warp_id(), warp_kv = warp % C::kWarpsKv;
  const int query_row = warp / C::kWarpsKv * 16;
  const int key_row = warp_kv * C::kKeys;

  const auto copy_tile = [&](int tile) { block.copy_tile(tile); };
  block.copy_queries();
  fill_ring<C::kStages>(copy_tile);
  find_inverse_norms<G, C::kRows, C::kThreads>(block.query_tile, block.query_norms);

  Fragment sums[C::kBlocks] = {};
  float query_scale[2] = {0, 0};
  for (int tile = 0; tile < block.channels / C::kTileKeys; ++tile) {
    advance_ring<C::kStages>(tile, copy_tile);
    find_inverse_norms<G, C::kTileKeys, C::kThreads>(block.key_tile(tile), block.key_norms);
    Fragment scores[C::kKeys / 8];
    find_scores<C>(scores, block.query_tile, query_row, block.key_tile(tile), key_row);
    block_barrier();  // norms are there
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = query_row + lane_id() / 4 + 8 * i;
      query_scale[i] = load_shared<float>(block.query_norms + 4 * row) * a.scale;
    }
    weigh_bounded<C>(scores, query_scale, block.key_norms + 4 * key_row);
    add_weighted_values<C>(sums, scores, block.value_tile(tile), key_row);
  }
  copy_async_wait<0>();  // the last groups are empty

  if constexpr (C::kWarpsKv > 1) merge_sums<C>(sums, block.query_tile, warp);
  if (warp_kv != 0) return;
  const std::size_t first =
      static_cast<std::size_t>(blockIdx.y) * block.channels + blockIdx.x * C::kRows;
  finish_rows<G>(sums, rows_of_tile(a.rows, first), query_row);
}

template <class C>
__global__ void __launch_bounds__(C::kThreads, C::kBlocksPerSm)
    channel_attention_kernel(const __grid_constant__ ChannelArguments a) {
  channel_attention<C>(a);
}

}  // namespace framescore::kernels::device
