// Switching between stacks: a few instructions on x86-64, ucontext elsewhere.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulation {

#if defined(__x86_64__)

struct Fiber {
  void* stack_pointer = nullptr;
};

extern "C" void emulation_switch_stack(void** save, void* load);

inline void switch_fiber(Fiber& from, Fiber& to) {
  emulation_switch_stack(&from.stack_pointer, to.stack_pointer);
}

inline Fiber make_fiber(char* stack, std::size_t bytes, void (*entry)()) {
  const auto top = reinterpret_cast<std::size_t>(stack + bytes) & ~std::size_t{15};
  void** frame =
      reinterpret_cast<void**>(top) - 8;  // 6 registers, entry, and a null return address
  for (int i = 0; i < 8; ++i) frame[i] = nullptr;
  frame[6] = reinterpret_cast<void*>(entry);
  return {frame};
}

#else

struct Fiber {
  ucontext_t context;
};

inline void switch_fiber(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }

inline Fiber make_fiber(char* stack, std::size_t bytes, void (*entry)()) {
  Fiber fiber;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, entry, 0);
  return fiber;
}

#endif

}  // namespace emulation
