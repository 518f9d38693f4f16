// Fibers, their schedule, barriers and meetings: see simt.h.
#include "simt.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "fiber.h"
#include "shared_memory.h"

namespace emulation {

Coordinates here;
Device device;

namespace {

constexpr std::size_t kStackBytes = 128 * 1024;

struct Allowed {
  const char* first;
  const char* last;
  bool writable;
};

enum class State { kReady, kWaiting, kFinished };

struct Runner {
  Thread thread;
  dim3 coordinates;
  Fiber fiber;
  State state;
};

struct Warp {
  int size = 0;
  int arrived = 0;
  int epoch = 0;
  Execute execute = nullptr;
  void* brought[kLanes];
};

struct Machine {
  Report report{};
  std::vector<Allowed> allowed;
  std::uint64_t seed = 0;
  std::uint64_t random = 1;
  std::vector<std::unique_ptr<char[]>> stacks;
  std::vector<Runner> runners;
  std::vector<Warp> warps;
  std::vector<int> ready;
  const std::function<void()>* kernel = nullptr;
  Fiber scheduler;
  int current = 0;
  int at_barrier = 0;
  int finished = 0;
  bool failed = false;
};
Machine machine;

std::uint32_t next_random() {
  machine.random ^= machine.random << 13;
  machine.random ^= machine.random >> 7;
  machine.random ^= machine.random << 17;
  return static_cast<std::uint32_t>(machine.random >> 32);
}

void keep_message(const char* format, std::va_list arguments) {
  if (machine.report.message[0] == '\0') {
    std::vsnprintf(machine.report.message, sizeof machine.report.message, format, arguments);
  }
}

void wake(int index) {
  if (machine.runners[index].state == State::kWaiting) {
    machine.runners[index].state = State::kReady;
    machine.ready.push_back(index);
  }
}

void back_to_scheduler() {
  switch_fiber(machine.runners[machine.current].fiber, machine.scheduler);
}

void wait_here() {
  machine.runners[machine.current].state = State::kWaiting;
  back_to_scheduler();
}

void fiber_main() {
  (*machine.kernel)();
  Runner& runner = machine.runners[machine.current];
  finish_copies();
  runner.state = State::kFinished;
  ++machine.finished;
  back_to_scheduler();
}

int take_ready() {
  std::size_t pick = 0;
  if (machine.seed != 0) pick = next_random() % machine.ready.size();
  const int index = machine.ready[pick];
  if (machine.seed != 0) {
    machine.ready[pick] = machine.ready.back();
    machine.ready.pop_back();
  } else {
    machine.ready.erase(machine.ready.begin());
  }
  return index;
}

void start_block(dim3 block) {
  const int threads = static_cast<int>(block.x * block.y * block.z);
  while (static_cast<int>(machine.stacks.size()) < threads) {
    machine.stacks.emplace_back(new char[kStackBytes]);
  }
  machine.runners.assign(threads, Runner{});
  machine.warps.assign((threads + kLanes - 1) / kLanes, Warp{});
  machine.ready.resize(threads);
  std::iota(machine.ready.begin(), machine.ready.end(), 0);
  machine.at_barrier = machine.finished = 0;
  for (int i = 0; i < threads; ++i) {
    const unsigned u = static_cast<unsigned>(i);
    Runner& runner = machine.runners[i];
    runner.thread = {i, i % kLanes, i / kLanes, 0};
    runner.coordinates = {u % block.x, u / block.x % block.y, u / (block.x * block.y)};
    runner.state = State::kReady;
    runner.fiber = make_fiber(machine.stacks[i].get(), kStackBytes, fiber_main);
    ++machine.warps[i / kLanes].size;
  }
}

// Runs one block to its end; false when it broke a rule.
bool run_block(dim3 block, std::size_t shared_bytes) {
  start_block(block);
  begin_shared_memory(shared_bytes, static_cast<int>(machine.runners.size()));
  while (!machine.ready.empty() && !machine.failed) {
    machine.current = take_ready();
    here.thread = machine.runners[machine.current].coordinates;
    switch_fiber(machine.scheduler, machine.runners[machine.current].fiber);
  }
  if (machine.failed) return false;
  if (machine.finished != static_cast<int>(machine.runners.size())) {
    std::snprintf(machine.report.message, sizeof machine.report.message,
                  "deadlock: %d of %zu threads finished, %d wait at the block barrier",
                  machine.finished, machine.runners.size(), machine.at_barrier);
    return false;
  }
  end_shared_memory();
  return true;
}

}  // namespace

void begin(std::uint64_t seed) {
  machine.report = Report{};
  machine.allowed.clear();
  machine.seed = seed;
  machine.random = seed * 0x9e3779b97f4a7c15u + 1;
  machine.failed = false;
}

void allow(const void* first, std::size_t bytes, bool writable) {
  const char* start = static_cast<const char*>(first);
  machine.allowed.push_back({start, start + bytes, writable});
}

const Report& report() { return machine.report; }
Report& mutable_report() { return machine.report; }

bool run(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& thread) {
  machine.kernel = &thread;
  here.grid_size = grid;
  here.block_size = block;
  std::vector<unsigned> order(grid.x * grid.y * grid.z);
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t i = order.size(); machine.seed != 0 && i > 1; --i) {
    std::swap(order[i - 1], order[next_random() % i]);
  }
  for (unsigned index : order) {
    here.block = {index % grid.x, index / grid.x % grid.y, index / (grid.x * grid.y)};
    if (!run_block(block, shared_bytes)) return false;
  }
  return true;
}

Thread& self() { return machine.runners[machine.current].thread; }
Thread& thread_at(int index) { return machine.runners[index].thread; }
int warp_epoch(int warp) { return machine.warps[warp].epoch; }

void fail(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  machine.report.message[0] = '\0';
  keep_message(format, arguments);
  va_end(arguments);
  machine.failed = true;
  back_to_scheduler();
  __builtin_unreachable();
}

void note_race(const char* format, ...) {
  std::va_list arguments;
  va_start(arguments, format);
  keep_message(format, arguments);
  va_end(arguments);
  ++machine.report.races;
}

void maybe_switch() {
  if (machine.seed == 0 || next_random() % 8 != 0) return;
  machine.ready.push_back(machine.current);
  back_to_scheduler();
}

void block_barrier() {
  const int threads = static_cast<int>(machine.runners.size());
  if (++machine.at_barrier < threads) {
    wait_here();
    return;
  }
  machine.at_barrier = 0;
  ++machine.report.block_barriers;
  for (int i = 0; i < threads; ++i) {
    ++machine.runners[i].thread.block_epoch;
    wake(i);
  }
  maybe_switch();
}

void meet(Execute execute, void* mine) {
  const Thread& me = self();
  Warp& warp = machine.warps[me.warp];
  if (warp.arrived == 0) {
    warp.execute = execute;
  } else if (warp.execute != execute) {
    fail("lane %d of warp %d meets others in a different warp-wide operation", me.lane, me.warp);
  }
  warp.brought[me.lane] = mine;
  if (++warp.arrived < warp.size) {
    wait_here();
    return;
  }
  if (warp.size != kLanes) fail("a warp of %d threads in a warp-wide operation", warp.size);
  warp.arrived = 0;
  execute(warp.brought);
  for (int lane = 0; lane < kLanes; ++lane) wake(me.warp * kLanes + lane);
  maybe_switch();
}

void warp_barrier() {
  meet([](void* const*) { ++machine.warps[self().warp].epoch; }, nullptr);
}

void check_global(const void* address, std::size_t bytes, std::size_t alignment, bool write) {
  const char* first = static_cast<const char*>(address);
  if (reinterpret_cast<std::uintptr_t>(first) % alignment != 0) {
    fail("global address %p is not a multiple of %zu", address, alignment);
  }
  if (bytes == 0) return;
  for (const Allowed& range : machine.allowed) {
    const bool within = first >= range.first && first + bytes <= range.last;
    if (within && (range.writable || !write)) return;
  }
  fail("global %s of %zu bytes out of bounds at %p", write ? "write" : "read", bytes, address);
}

}  // namespace emulation
