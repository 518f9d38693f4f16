// The block's shared memory: bounds, alignment, bank conflicts, races, and copies that are late.
//
// Every 4-byte word remembers who read and wrote it last and how many barriers had been passed. Two
// threads that use a word, one of them writing, without a barrier between is a race, in whatever
// order they happened to run. Memory starts as NaN; so does the target of a copy until the thread
// that started it waits for its group.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation {

constexpr std::uint32_t kSharedBase = 1024;  // no kernel may think that it starts at 0

void begin_shared_memory(std::size_t bytes, int threads);
void end_shared_memory();  // counts the accesses that no whole warp made
void finish_copies();      // the running thread ends: nothing may be under way

// Checks and notes one access of a thread; the bytes, to read or write.
enum class Access { kRead, kWrite };
unsigned char* shared_bytes(std::uint32_t address, int bytes, Access access, int thread);

// Counts bank conflicts of the n-th access at this line by the lanes of a warp.
enum class Traffic { kAccess, kCopy };
void note_banks(Traffic traffic, std::uint32_t address, int bytes, int line);

// The 8 rows of 16 bytes that ldmatrix reads at once.
void note_matrix_banks(const std::uint32_t* rows);

void start_copy(std::uint32_t shared, const void* global, int valid_bytes, int line);
void commit_copies();
void wait_for_copies(int pending);

}  // namespace emulation
