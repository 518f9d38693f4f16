// probes.cu: how fast the parts of a GPU go when nothing else is asked of them. The kernels' shares
// of the "speed of light" are shares of these figures, not of a data sheet's.
#include <cuda_runtime.h>

#include <cstdint>

namespace {

constexpr int kChains = 8;  // independent accumulators a warp: hides the latency of the tensor core

__global__ void empty_kernel() {}

// Every warp multiplies registers: 16 x 8 x 16 multiply-adds an instruction.
__global__ void half_products(float* out, int turns) {
  float c[kChains][4] = {};
  const std::uint32_t a = threadIdx.x, b = threadIdx.x + 1;  // small denormals: products stay 0
  for (int turn = 0; turn < turns; ++turn) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) {
      asm volatile(
          "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %4, %4, %4}, "
          "{%5, %5}, {%0, %1, %2, %3};"
          : "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
          : "r"(a), "r"(b));
    }
  }
  float sum = 0;
  for (int i = 0; i < kChains; ++i) sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

// The same for int8: 16 x 8 x 32 multiply-adds an instruction.
__global__ void int8_products(float* out, int turns) {
  int c[kChains][4] = {};
  const std::uint32_t a = threadIdx.x, b = threadIdx.x + 1;
  for (int turn = 0; turn < turns; ++turn) {
#pragma unroll
    for (int i = 0; i < kChains; ++i) {
      asm volatile(
          "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %4, %4, %4}, "
          "{%5, %5}, {%0, %1, %2, %3};"
          : "+r"(c[i][0]), "+r"(c[i][1]), "+r"(c[i][2]), "+r"(c[i][3])
          : "r"(a), "r"(b));
    }
  }
  int sum = 0;
  for (int i = 0; i < kChains; ++i) sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
  out[blockIdx.x * blockDim.x + threadIdx.x] = static_cast<float>(sum);
}

// Every block reads all of `words`, which L2 holds, starting at another place; .cg passes L1 by.
__global__ void read_cached(const uint4* words, int count, float* out) {
  std::uint32_t sum = 0;
  const int start = static_cast<int>(std::int64_t{blockIdx.x} * count / gridDim.x);
#pragma unroll 4
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    int at = start + i;
    if (at >= count) at -= count;
    const uint4 word = __ldcg(words + at);
    sum += word.x ^ word.y ^ word.z ^ word.w;
  }
  out[blockIdx.x * blockDim.x + threadIdx.x] = static_cast<float>(sum);
}

int launched() { return static_cast<int>(cudaGetLastError()); }

}  // namespace

#define PROBE extern "C" __attribute__((visibility("default"))) int

// Each puts one launch on the stream and returns CUDA's error number. `out` has a float a thread.
PROBE probe_empty(cudaStream_t stream) {
  empty_kernel<<<1, 32, 0, stream>>>();
  return launched();
}

PROBE probe_half(float* out, int blocks, int threads, int turns, cudaStream_t stream) {
  half_products<<<blocks, threads, 0, stream>>>(out, turns);
  return launched();
}

PROBE probe_int8(float* out, int blocks, int threads, int turns, cudaStream_t stream) {
  int8_products<<<blocks, threads, 0, stream>>>(out, turns);
  return launched();
}

PROBE probe_cache(const void* words, int count, float* out, int blocks, int threads,
                  cudaStream_t stream) {
  read_cached<<<blocks, threads, 0, stream>>>(static_cast<const uint4*>(words), count, out);
  return launched();
}

// Memory for programs that have no framework (sanitised.py); null and numbers tell of failure.
extern "C" __attribute__((visibility("default"))) void* probe_allocate(std::size_t bytes) {
  void* pointer = nullptr;
  return cudaMalloc(&pointer, bytes) == cudaSuccess ? pointer : nullptr;
}

PROBE probe_free(void* pointer) { return static_cast<int>(cudaFree(pointer)); }

PROBE probe_upload(void* to, const void* from, std::size_t bytes) {
  return static_cast<int>(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
}

PROBE probe_wait() { return static_cast<int>(cudaDeviceSynchronize()); }
