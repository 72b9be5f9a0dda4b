// What a test's program took from the heap by operator new, for tests that count it.
#pragma once
#include <cstdint>

namespace tw {

struct HeapUse {
  int64_t calls = 0, bytes = 0;
};

// By all threads since the program started. Linking this replaces the global operator new.
HeapUse heap_use() noexcept;

}  // namespace tw
