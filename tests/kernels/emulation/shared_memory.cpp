// Shared memory of one block: see shared_memory.h.
#include "shared_memory.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <vector>

#include "simt.h"

namespace emulation {
namespace {

constexpr int kNobody = -1;
constexpr int kSeveral = -2;

struct Use {
  int thread = kNobody;  // or kSeveral, of one warp
  int warp = kNobody;    // or kSeveral
  int block_epoch = -1;
  int warp_epoch = -1;
};

struct Word {
  Use read, written;
  bool awaited = false;  // a copy is under way
};

struct Copy {
  std::uint32_t shared;
  unsigned char data[16];
  int group;
};

struct Copies {
  std::vector<Copy> under_way;
  int groups = 0;  // committed
};

// What the lanes of a warp did at the n-th execution of one line.
struct Passes {
  int lanes = 0;
  int bytes = 0;
  std::uint32_t address[kLanes] = {};  // 0: a lane that took no part
};

struct LineCount {
  int line;
  std::uint64_t count;
};

std::vector<unsigned char> memory;
std::vector<Word> words;
std::vector<Copies> copies;
std::vector<std::vector<LineCount>> counts;
std::unordered_map<std::uint64_t, Passes> unfinished;

// True when `use` happened before the thread's present moment, by a barrier or its own order.
bool ordered(const Use& use, const Thread& thread) {
  if (use.thread == kNobody || use.thread == thread.index) return true;
  if (use.block_epoch < thread.block_epoch) return true;
  return use.warp == thread.warp && use.warp_epoch < warp_epoch(thread.warp);
}

void remember_read(Word& word, const Thread& thread) {
  Use& use = word.read;
  const bool joins = use.block_epoch == thread.block_epoch && !ordered(use, thread);
  const int reader = joins ? kSeveral : thread.index;
  const int warp = joins && use.warp != thread.warp ? kSeveral : thread.warp;
  use = {reader, warp, thread.block_epoch, warp_epoch(thread.warp)};
}

void note_access(Word& word, std::uint32_t address, Access access, const Thread& thread) {
  if (!ordered(word.written, thread)) {
    note_race("race: thread %d %s shared byte %u that thread %d wrote, no barrier between",
              thread.index, access == Access::kRead ? "reads" : "writes", address,
              word.written.thread);
  }
  if (access == Access::kRead) {
    if (word.awaited) {
      note_race("race: thread %d reads shared byte %u before its copy was waited for", thread.index,
                address);
    }
    remember_read(word, thread);
    return;
  }
  if (!ordered(word.read, thread)) {
    note_race("race: thread %d writes shared byte %u that others still read, no barrier between",
              thread.index, address);
  }
  word.written = {thread.index, thread.warp, thread.block_epoch, warp_epoch(thread.warp)};
}

// Extra passes for lanes [first, last): distinct words per bank, less one.
int extra_passes(const Passes& passes, int first, int last) {
  std::vector<std::uint32_t> bank[32];
  for (int lane = first; lane < last; ++lane) {
    if (passes.address[lane] == 0) continue;
    for (int byte = 0; byte < passes.bytes; byte += 4) {
      const std::uint32_t word = (passes.address[lane] + byte) / 4;
      std::vector<std::uint32_t>& seen = bank[word % 32];
      if (std::find(seen.begin(), seen.end(), word) == seen.end()) seen.push_back(word);
    }
  }
  std::size_t most = 1;
  for (const auto& seen : bank) most = std::max(most, seen.size());
  return static_cast<int>(most) - 1;
}

void count_passes(const Passes& passes, Traffic traffic) {
  const int at_once = passes.bytes == 16 ? 8 : passes.bytes == 8 ? 16 : 32;
  Report& report = mutable_report();
  std::int64_t& conflicts =
      traffic == Traffic::kCopy ? report.copy_conflicts : report.access_conflicts;
  for (int first = 0; first < kLanes; first += at_once) {
    conflicts += extra_passes(passes, first, first + at_once);
  }
}

std::uint64_t next_count(int thread, int line) {
  for (LineCount& entry : counts[thread]) {
    if (entry.line == line) return entry.count++;
  }
  counts[thread].push_back({line, 1});
  return 0;
}

}  // namespace

void begin_shared_memory(std::size_t bytes, int threads) {
  memory.assign(bytes, 0xff);
  words.assign((bytes + 3) / 4, Word{});
  copies.assign(threads, Copies{});
  counts.assign(threads, {});
  unfinished.clear();
}

void end_shared_memory() {
  for (const auto& [key, passes] : unfinished) count_passes(passes, static_cast<Traffic>(key & 1));
}

void finish_copies() {
  if (!copies[self().index].under_way.empty()) fail("a thread ended with copies under way");
}

unsigned char* shared_bytes(std::uint32_t address, int bytes, Access access, int thread) {
  if (address % bytes != 0) fail("shared address %u is not a multiple of %d", address, bytes);
  const std::uint32_t offset = address - kSharedBase;
  if (address < kSharedBase || offset + bytes > memory.size()) {
    fail("shared access of %d bytes out of bounds: offset %d of %zu", bytes,
         static_cast<int>(offset), memory.size());
  }
  for (std::uint32_t word = offset / 4; word <= (offset + bytes - 1) / 4; ++word) {
    note_access(words[word], word * 4, access, thread_at(thread));
  }
  return memory.data() + offset;
}

void note_banks(Traffic traffic, std::uint32_t address, int bytes, int line) {
  const Thread& thread = self();
  const std::uint64_t count = next_count(thread.index, line);
  const std::uint64_t key = (((count << 16 | static_cast<std::uint64_t>(line)) << 8 |
                              static_cast<std::uint64_t>(thread.warp))
                             << 1) |
                            static_cast<std::uint64_t>(traffic);
  Passes& passes = unfinished[key];
  passes.bytes = std::max(bytes, 4);
  passes.address[thread.lane] = address;
  if (++passes.lanes == kLanes) {
    count_passes(passes, traffic);
    unfinished.erase(key);
  }
}

void note_matrix_banks(const std::uint32_t* rows) {
  int used[8] = {};
  for (int i = 0; i < 8; ++i) {
    bool seen = false;
    for (int j = 0; j < i; ++j) seen = seen || rows[j] == rows[i];
    if (!seen) ++used[rows[i] / 16 % 8];
  }
  mutable_report().matrix_conflicts += *std::max_element(used, used + 8) - 1;
}

void start_copy(std::uint32_t shared, const void* global, int valid_bytes, int line) {
  if (valid_bytes < 0 || valid_bytes > 16) fail("a copy of %d valid bytes", valid_bytes);
  check_global(global, static_cast<std::size_t>(valid_bytes), 16, false);
  note_banks(Traffic::kCopy, shared, 16, line);
  unsigned char* target = shared_bytes(shared, 16, Access::kWrite, self().index);
  std::memset(target, 0xff, 16);
  for (int i = 0; i < 4; ++i) words[(shared - kSharedBase) / 4 + i].awaited = true;
  Copies& mine = copies[self().index];
  mine.under_way.push_back({shared, {}, mine.groups});
  std::memcpy(mine.under_way.back().data, global, static_cast<std::size_t>(valid_bytes));
  ++mutable_report().async_copies;
}

void commit_copies() { ++copies[self().index].groups; }

void wait_for_copies(int pending) {
  Copies& mine = copies[self().index];
  const auto landed = [&](const Copy& copy) { return copy.group < mine.groups - pending; };
  for (const Copy& copy : mine.under_way) {
    if (!landed(copy)) continue;
    for (int i = 0; i < 4; ++i) words[(copy.shared - kSharedBase) / 4 + i].awaited = false;
    std::memcpy(shared_bytes(copy.shared, 16, Access::kWrite, self().index), copy.data, 16);
  }
  mine.under_way.erase(std::remove_if(mine.under_way.begin(), mine.under_way.end(), landed),
                       mine.under_way.end());
}

}  // namespace emulation
