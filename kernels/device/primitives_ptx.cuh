// device/primitives_ptx.cuh: the primitives as PTX for sm_80 and newer. Included by primitives.cuh.
#pragma once

#include <cuda_runtime.h>

namespace framescore::kernels::device {

#define FRAMESCORE_DEVICE __device__ __forceinline__

// ---- Shared and global memory

// First byte of dynamic shared memory, aligned to 128 bytes.
FRAMESCORE_DEVICE std::uint32_t shared_memory_base() {
  extern __shared__ __align__(128) unsigned char dynamic_shared_memory[];
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(dynamic_shared_memory));
}

// Starts copying 16 bytes to shared memory; bytes past valid_bytes (0..16) are not read and become
// zero. Both addresses are multiples of 16.
FRAMESCORE_DEVICE void copy_async_16(std::uint32_t shared, const void* global, int valid_bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(valid_bytes)
               : "memory");
}

// Closes the group of copies this thread has started.
FRAMESCORE_DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `pending` of this thread's newest groups are still under way.
template <int pending>
FRAMESCORE_DEVICE void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// Reads a value from shared memory; its address is a multiple of sizeof(V).
template <class V>
FRAMESCORE_DEVICE V load_shared(std::uint32_t address) {
  return *static_cast<const V*>(__cvta_shared_to_generic(address));
}

template <class V>
FRAMESCORE_DEVICE void store_shared(std::uint32_t address, V value) {
  *static_cast<V*>(__cvta_shared_to_generic(address)) = value;
}

// Reads a value that nothing writes while the kernel runs.
template <class V>
FRAMESCORE_DEVICE V load_global(const void* address) {
  return __ldg(static_cast<const V*>(address));
}

template <class V>
FRAMESCORE_DEVICE void store_global(void* address, V value) {
  *static_cast<V*>(address) = value;
}

// ---- Threads together

// All threads of the block; memory written before is seen after.
FRAMESCORE_DEVICE void block_barrier() { __syncthreads(); }

// The same for one warp.
FRAMESCORE_DEVICE void warp_barrier() { __syncwarp(); }

// Values are float, int or uint32_t; every lane of the warp takes part.
template <class V>
FRAMESCORE_DEVICE V shuffle_xor(V value, int lane_mask) {
  return __shfl_xor_sync(0xffffffffu, value, lane_mask);
}

template <class V>
FRAMESCORE_DEVICE V shuffle_from(V value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}

// Bit i: the predicate of lane i.
FRAMESCORE_DEVICE std::uint32_t ballot(bool predicate) {
  return __ballot_sync(0xffffffffu, predicate);
}

// ---- Tensor cores

// Four 8x8 matrices of 16-bit elements. Lane i names row i%8 of matrix i/8 (16 bytes, aligned);
// r[j] is elements 2*(lane%4), +1 of row lane/4 of matrix j.
FRAMESCORE_DEVICE void load_matrices(std::uint32_t (&r)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// As load_matrices, each matrix transposed: r[j] is rows 2*(lane%4), +1 of column lane/4.
FRAMESCORE_DEVICE void load_matrices_transposed(std::uint32_t (&r)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// Two matrices: lanes 0..15 name the rows.
FRAMESCORE_DEVICE void load_matrices(std::uint32_t (&r)[2], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(address)
               : "memory");
}

FRAMESCORE_DEVICE void load_matrices_transposed(std::uint32_t (&r)[2], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(address)
               : "memory");
}

// c[16,8] += a[16,16] b[16,8], elements T, sums float.
template <class T>
FRAMESCORE_DEVICE void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                    std::uint32_t b1);

template <>
FRAMESCORE_DEVICE void multiply_add<Half>(float (&c)[4], const std::uint32_t (&a)[4],
                                          std::uint32_t b0, std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
FRAMESCORE_DEVICE void multiply_add<BFloat16>(float (&c)[4], const std::uint32_t (&a)[4],
                                              std::uint32_t b0, std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// c[16,8] += a[16,32] b[32,8], elements int8, sums int32.
FRAMESCORE_DEVICE void multiply_add_int8(int (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                         std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// ---- Numbers

// Two floats, rounded to nearest even, as one register of two T: `low` in the low half.
template <class T>
FRAMESCORE_DEVICE std::uint32_t pack(float low, float high);

template <>
FRAMESCORE_DEVICE std::uint32_t pack<Half>(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

template <>
FRAMESCORE_DEVICE std::uint32_t pack<BFloat16>(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

template <class T>
FRAMESCORE_DEVICE float2 unpack(std::uint32_t pair);

template <>
FRAMESCORE_DEVICE float2 unpack<Half>(std::uint32_t pair) {
  float2 value;
  asm("{ .reg .f16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high; }"
      : "=f"(value.x), "=f"(value.y)
      : "r"(pair));
  return value;
}

template <>
FRAMESCORE_DEVICE float2 unpack<BFloat16>(std::uint32_t pair) {
  return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
}

// 2^x to about 2 ulp; 0 for -infinity.
FRAMESCORE_DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The bits of a number, and the number of these bits.
FRAMESCORE_DEVICE std::uint32_t bits_of(float x) { return __float_as_uint(x); }
FRAMESCORE_DEVICE float float_of(std::uint32_t bits) { return __uint_as_float(bits); }

// The larger one; the other where one is NaN.
FRAMESCORE_DEVICE float larger(float a, float b) { return fmaxf(a, b); }

// 1 / sqrt(x) to about 2 ulp.
FRAMESCORE_DEVICE float inverse_sqrt(float x) { return rsqrtf(x); }

// To nearest, ties to even.
FRAMESCORE_DEVICE int round_to_int(float x) { return __float2int_rn(x); }

// The value itself, which the compiler then knows nothing about: what is computed from it inside a
// loop is not moved out of the loop, where it would hold registers.
FRAMESCORE_DEVICE int keep_in_loop(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

}  // namespace framescore::kernels::device
