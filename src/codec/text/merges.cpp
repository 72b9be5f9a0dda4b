#include "src/codec/text/merges.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <queue>

namespace tw {
namespace {

constexpr size_t kScanLimit = 80;  // symbols; beyond it the heap is faster

}  // namespace

MergeTable::MergeTable(std::span<const Merge> merges) {
  const size_t capacity = std::bit_ceil(std::max<size_t>(8, merges.size() * 2));
  entries_.resize(capacity);
  mask_ = capacity - 1;
  shift_ = 64 - std::countr_zero(capacity);
  for (const Merge& m : merges) {
    auto& e = const_cast<Entry&>(find(m.left, m.right));
    e = {uint64_t(uint32_t(m.left)) << 32 | uint32_t(m.right), m.rank, m.result};
  }
}

void MergeTable::apply(Piece& piece) const {
  if (piece.symbols.size() < 2) return;
  if (piece.symbols.size() <= kScanLimit)
    apply_scan(piece);
  else
    apply_heap(piece);
}

void MergeTable::apply_scan(Piece& piece) const {
  int32_t* symbols = piece.symbols.data();
  uint32_t* origin = piece.origin.data();
  size_t n = piece.symbols.size();
  uint32_t rank[kScanLimit];
  int32_t result[kScanLimit];  // of the pair that starts here
  rank[n - 1] = kNone, result[n - 1] = -1;
  const auto look = [&](size_t i) {
    const Entry& e = find(symbols[i], symbols[i + 1]);
    rank[i] = e.rank, result[i] = e.result;
  };
  for (size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i)
      if (rank[i] < rank[best]) best = i;
    if (rank[best] == kNone) break;
    symbols[best] = result[best];
    for (size_t i = best + 1; i + 1 < n; ++i) {
      symbols[i] = symbols[i + 1], origin[i] = origin[i + 1];
      rank[i] = rank[i + 1], result[i] = result[i + 1];
    }
    --n;
    if (best + 1 < n) look(best);
    if (best > 0) look(best - 1);
  }
  piece.symbols.resize(n);
  piece.origin.resize(n);
}

void MergeTable::apply_heap(Piece& piece) const {
  constexpr uint32_t kEnd = UINT32_MAX;
  const auto n = uint32_t(piece.symbols.size());
  auto& symbols = piece.symbols;
  std::vector<uint32_t> next(n), previous(n), rank(n, kNone);
  std::vector<uint64_t> initial;
  initial.reserve(n);
  for (uint32_t i = 0; i < n; ++i) {
    next[i] = i + 1 < n ? i + 1 : kEnd;
    previous[i] = i ? i - 1 : kEnd;
    if (i + 1 < n) rank[i] = find(symbols[i], symbols[i + 1]).rank;
    if (rank[i] != kNone) initial.push_back(uint64_t(rank[i]) << 32 | i);
  }
  // Rank in the high half, place in the low one: the order of merging is the order of the keys.
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> heap(std::greater<>{}, std::move(initial));
  const auto look = [&](uint32_t i) {
    rank[i] = next[i] == kEnd ? kNone : find(symbols[i], symbols[next[i]]).rank;
    if (rank[i] != kNone) heap.push(uint64_t(rank[i]) << 32 | i);
  };
  while (!heap.empty()) {
    const auto i = uint32_t(heap.top());
    const auto r = uint32_t(heap.top() >> 32);
    heap.pop();
    if (rank[i] != r) continue;  // merged away or changed since
    const uint32_t j = next[i];
    symbols[i] = find(symbols[i], symbols[j]).result;
    next[i] = next[j];
    if (next[j] != kEnd) previous[next[j]] = i;
    rank[j] = kNone;
    look(i);
    if (previous[i] != kEnd) look(previous[i]);
  }
  size_t out = 0;
  for (uint32_t i = 0; i != kEnd; i = next[i]) {
    symbols[out] = symbols[i];
    piece.origin[out++] = piece.origin[i];
  }
  symbols.resize(out);
  piece.origin.resize(out);
}

}  // namespace tw
