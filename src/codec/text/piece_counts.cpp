#include "src/codec/text/piece_counts.h"

#include "src/core/hash.h"

namespace tw {

void PieceCounts::add(std::string_view piece, int64_t count) {
  const uint64_t hash = xxh3(piece.data(), piece.size());
  const size_t mask = entries_.size() - 1;
  size_t i = hash & mask;
  for (; entries_[i].length; i = (i + 1) & mask) {
    Entry& e = entries_[i];
    if (e.hash != hash || e.length != piece.size() || texts_.compare(e.offset, e.length, piece) != 0) continue;
    e.count += count;
    return;
  }
  entries_[i] = {hash, texts_.size(), count, uint32_t(piece.size())};
  texts_ += piece;
  if (++used_ * 2 > entries_.size()) grow();
}

void PieceCounts::grow() {
  std::vector<Entry> old(entries_.size() * 2);
  old.swap(entries_);
  const size_t mask = entries_.size() - 1;
  for (const Entry& e : old) {
    if (!e.length) continue;
    size_t i = e.hash & mask;
    while (entries_[i].length) i = (i + 1) & mask;
    entries_[i] = e;
  }
}

}  // namespace tw
