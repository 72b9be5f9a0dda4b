// Whether a text reads like one: the rules by which Gopher's training text was filtered.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

// Rae et al. 2021 (arXiv:2112.11446), section A1.1, "quality filtering" and "repetition removal", without what goes by English words and by n-grams:
// 50 words or more, of 3 to 10 letters on average; at most one "#" or "..." in ten words; not more than nine in ten lines that begin with a bullet, nor more
// than three in ten that end with an ellipsis; letters in at least eight of ten words; at most three in ten lines, and a fifth of all letters, in lines that
// were there before. Memory grows with the lines, up to kMostLines of them.
class TextQuality {
 public:
  void feed(std::string_view piece);  // valid UTF-8
  // Why it does not read like a text, with the number; "" = it does.
  std::string finish();

 private:
  static constexpr size_t kMostLines = 1'000'000;
  void line(std::string_view text);
  bool fresh(uint64_t hash);    // and remembers it, where there is room
  std::string line_;            // the beginning of one that has not ended
  std::vector<uint64_t> seen_;  // hashes of lines, open addressing, 0 = free
  size_t known_ = 0;            // of them
  int64_t words_ = 0, letters_ = 0, with_letters_ = 0, symbols_ = 0;           // letters_: of words, characters
  int64_t lines_ = 0, bullets_ = 0, ellipses_ = 0, repeated_ = 0, line_bytes_ = 0, repeated_bytes_ = 0;
};

}  // namespace tw
