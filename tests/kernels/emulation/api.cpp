// The emulation as Python calls it (tests/kernels/emulated.py).
#include "simt.h"

extern "C" {

void emulation_begin(std::uint64_t seed) { emulation::begin(seed); }

void emulation_allow(const void* first, std::size_t bytes, int writable) {
  emulation::allow(first, bytes, writable != 0);
}

void emulation_set_device(int multiprocessors, int shared_bytes_per_block) {
  emulation::device = {multiprocessors, shared_bytes_per_block};
}

const emulation::Report* emulation_report() { return &emulation::report(); }

}  // extern "C"
