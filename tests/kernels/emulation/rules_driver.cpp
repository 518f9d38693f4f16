// One small kernel that keeps or breaks a rule of CUDA's, to see that the emulation notices.
#include "device/launch.cuh"

namespace framescore::kernels {
namespace {

using namespace device;

enum Rule : int {
  kKept,
  kMissingBarrier,
  kMissingWait,
  kBarrierInBranch,
  kLanesApart,
  kSharedOutOfBounds,
  kSharedMisaligned,
  kGlobalOutOfBounds,
  kBankConflict,
};

// out[i] = in[63 - i] for 64 threads, through shared memory.
__global__ void reverse_kernel(const float* in, float* out, int rule) {
  const int i = static_cast<int>(threadIdx.x);
  const std::uint32_t base = shared_memory_base();
  const std::uint32_t spread = rule == kBankConflict ? 128 : 4;
  if (i < 16) copy_async_16(base + 16 * i, in + 4 * i, 16);
  copy_async_commit();
  if (rule != kMissingWait) copy_async_wait<0>();
  if (rule == kSharedOutOfBounds && i == 3) load_shared<float>(base + (1 << 20));
  if (rule == kSharedMisaligned && i == 3) load_shared<float>(base + 2);
  if (rule == kLanesApart && i % 32 == 3) shuffle_xor(1.0f, 1);
  if (rule == kLanesApart && i % 32 != 3) warp_barrier();
  if (rule != kMissingBarrier && !(rule == kBarrierInBranch && i == 0)) block_barrier();
  const float value = load_shared<float>(base + 4 * (63 - i));
  block_barrier();
  store_shared(base + 256 + spread * i, value);
  store_global(out + i + (rule == kGlobalOutOfBounds ? 1 : 0), value);
  if (rule == kMissingWait) copy_async_wait<0>();
}

}  // namespace

extern "C" int emulate_rules(const float* in, float* out, int rule) {
  return static_cast<int>(
      launch<reverse_kernel>(dim3(1), dim3(64), 256 + 64 * 128, nullptr, in, out, rule));
}

}  // namespace framescore::kernels
