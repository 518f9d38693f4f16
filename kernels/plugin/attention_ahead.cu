// attention_ahead.cu: one attention kernel with C linkage, for TensorRT's ahead-of-time plugins,
// which store its PTX in the plan (export/attention_plugin.py). To be compiled with
//
//   -DFRAMESCORE_ELEMENT=Half or BFloat16   -DFRAMESCORE_HEAD_DIM=64   -DFRAMESCORE_TILE=kRows64
//
// TensorRT passes inputs, then integers, then outputs. The grid is (ceil(tokens / rows), heads,
// batch); rows, threads and dynamic shared bytes stand in the PTX as framescore_attention_launch.
#include "attention/tiles.cuh"

namespace framescore::kernels {

constexpr auto kTile = AttentionTile::FRAMESCORE_TILE;
constexpr bool kBuilt = tile_numbers(kTile, FRAMESCORE_HEAD_DIM).built();
// A tile that is not built for this head dimension leaves zeros; kRows64 exists for all of them.
using Config = ConfigOf<device::FRAMESCORE_ELEMENT, kBuilt ? kTile : AttentionTile::kRows64,
                        FRAMESCORE_HEAD_DIM, false>;

extern "C" {

extern const __device__ int framescore_attention_launch[3];
const __device__ int framescore_attention_launch[3] = {
    kBuilt ? Config::kRows : 0, kBuilt ? Config::kThreads : 0, kBuilt ? Config::kSharedBytes : 0};

// scale_log2: the bits of a float, softmax scale * log2(e), for want of float arguments.
__global__ void __launch_bounds__(Config::kThreads, Config::kBlocks)
    framescore_attention(const void* qkv, int tokens, int scale_log2, void* out) {
  device::attention<Config>({qkv, nullptr, nullptr, out, tokens, __int_as_float(scale_log2), 0, 0});
}

}  // extern "C"

}  // namespace framescore::kernels
