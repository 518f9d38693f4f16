// A small emulation of one GPU that runs kernels as they are: a fiber for each thread, block after
// block, warp-wide operations as meetings of 32 fibers.
//
// How to run a kernel of yours (see attention_driver.cpp for a whole example):
//   1. the kernel and its launch function include device/primitives.cuh and device/launch.cuh and
//      touch memory only through those primitives;
//   2. g++ -std=c++17 -O2 -x c++ -I tests/kernels/emulation -I kernels -I kernels/include
//          kernels/<yours>/<yours>.cu your_driver.cpp tests/kernels/emulation/*.cpp
//   3. the driver says which memory the kernel may touch, and launches as on a GPU:
//        emulation::begin(seed);                      // 0: threads in turn; others: random order
//        emulation::allow(pointer, bytes, writable);  // for each buffer
//        Status status = launch_yours(..., nullptr);  // grid, block, dynamic shared bytes: as
//        given const emulation::Report& report = emulation::report();
//   A kernel that breaks a rule (out of bounds, misaligned, deadlock, lanes apart in a warp-wide
//   operation) stops, the launch function returns Status::kLaunchFailed and report().message says
//   why. Races and bank conflicts are counted. From Python: tests/kernels/emulated.py.
//
// What it cannot see: time, the rounding of the tensor cores and ex2, and the memory model beyond
// barriers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "cuda_runtime_api.h"

namespace emulation {

constexpr int kLanes = 32;

// What happened since begin(). Conflicts count the extra passes through the banks.
struct Report {
  std::int64_t matrix_multiplies;  // mma instructions of a warp
  std::int64_t matrix_loads;       // ldmatrix instructions of a warp
  std::int64_t async_copies;       // cp.async instructions of a thread
  std::int64_t block_barriers;     // barriers all threads of a block went through
  std::int64_t matrix_conflicts;   // of ldmatrix
  std::int64_t copy_conflicts;     // of cp.async
  std::int64_t access_conflicts;   // of other reads and writes of shared memory
  std::int64_t races;              // shared memory used with no barrier or wait between
  char message[256];               // the first rule broken, or the first race
};

// Forgets buffers and counts. `seed` 0 runs threads in turn, others in a random order of that seed.
void begin(std::uint64_t seed);

// Lets kernels read (and write) these bytes of global memory, and no others.
void allow(const void* first, std::size_t bytes, bool writable);

const Report& report();
Report& mutable_report();

// Runs `thread` once for each thread of the grid. False when a rule was broken.
bool run(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& thread);

// ---- For the primitives

// A thread, to those that watch what it does.
struct Thread {
  int index;        // in its block
  int lane;         // in its warp
  int warp;         // in its block
  int block_epoch;  // barriers passed
};
Thread& self();
Thread& thread_at(int index);
int warp_epoch(int warp);  // warp barriers passed

// Stops the launch with a message (printf-like).
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Notes a race; the launch goes on.
void note_race(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Lets another thread go first, now and then (never when threads run in turn).
void maybe_switch();

void block_barrier();

// All lanes of the warp meet with the same operation; the last to arrive carries it out for all:
// `execute(lanes)`, where lanes[i] is what lane i brought.
using Execute = void (*)(void* const* lanes);
void meet(Execute execute, void* mine);
void warp_barrier();

// Fails unless the bytes are global memory that was allowed and the address is aligned.
void check_global(const void* address, std::size_t bytes, std::size_t alignment, bool write);

}  // namespace emulation
