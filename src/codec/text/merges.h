// Byte-pair merges: the table of pairs and the loop that applies them.
// Sennrich, Haddow & Birch 2016, arXiv:1508.07909, section 3.2; order of application as GPT-2: of all adjacent
// pairs the one of lowest rank, of equals the leftmost, until no pair is in the table.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tw {

struct Merge {
  int32_t left = 0, right = 0, result = 0;  // symbols; those of the vocabulary are token ids
  uint32_t rank = 0;                        // lower goes first; may repeat
  bool operator==(const Merge&) const = default;
};

// Pairs in an open-addressing hash table, at most half full.
class MergeTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Entry {
    uint64_t key = kEmpty;
    uint32_t rank = kNone;
    int32_t result = -1;
  };
  MergeTable() : MergeTable(std::span<const Merge>{}) {}
  explicit MergeTable(std::span<const Merge> merges);  // of equal pairs the last counts

  // rank kNone where the pair is not in the table
  const Entry& find(int32_t left, int32_t right) const noexcept {
    const uint64_t key = uint64_t(uint32_t(left)) << 32 | uint32_t(right);
    for (size_t i = slot(key);; i = (i + 1) & mask_) {
      const Entry& e = entries_[i];
      if (e.key == key || e.key == kEmpty) return e;
    }
  }

  // Symbols of one piece, in place. `origin` keeps for each symbol the index of the first of the symbols given.
  struct Piece {
    std::vector<int32_t> symbols;
    std::vector<uint32_t> origin;
  };
  // Few symbols: repeated scans, no other memory. Many: a heap, O(n log n).
  void apply(Piece& piece) const;

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  size_t slot(uint64_t key) const noexcept { return size_t((key * 0x9E3779B97F4A7C15ull) >> shift_); }
  void apply_scan(Piece& piece) const;
  void apply_heap(Piece& piece) const;

  std::vector<Entry> entries_;
  size_t mask_ = 0;
  int shift_ = 0;
};

}  // namespace tw
