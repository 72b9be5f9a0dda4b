// How often each piece of text occurs.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

// Open addressing, at most half full; the texts of all pieces lie in one block.
class PieceCounts {
 public:
  PieceCounts() : entries_(1 << 10) {}
  void add(std::string_view piece, int64_t count = 1);  // of at least one and less than 2^32 bytes
  size_t size() const noexcept { return used_; }
  size_t bytes() const noexcept { return texts_.size(); }  // of all pieces, each once

  template <class Visit>
  void for_each(Visit&& visit) const {  // visit(piece, count), in no order that means anything
    for (const Entry& e : entries_)
      if (e.length) visit(std::string_view(texts_).substr(e.offset, e.length), e.count);
  }

 private:
  struct Entry {
    uint64_t hash = 0, offset = 0;
    int64_t count = 0;
    uint32_t length = 0;  // 0 = free
  };
  void grow();

  std::vector<Entry> entries_;
  std::string texts_;
  size_t used_ = 0;
};

}  // namespace tw
