// Documents that are nearly the same, by MinHash.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

// The smallest hashes of a document's shingles (runs of five words, letters in lower case): the share of equal places of
// two signatures estimates the Jaccard similarity of their sets of shingles, with a standard error of
// sqrt(J (1 - J) / 128), 0.035 at 0.8 (Broder 1997). One hash a shingle, dealt to 128 places; empty places take from
// others (Shrivastava 2017, arXiv:1703.04664). All zero: a document without words.
using Signature = std::array<uint32_t, 128>;
double similarity(const Signature& a, const Signature& b) noexcept;  // 0 where one has no words

class SignatureBuilder {
 public:
  SignatureBuilder();
  void feed(std::string_view piece);  // pieces may cut words
  Signature finish();

 private:
  void end_word();
  Signature least_;
  std::array<uint64_t, 5> last_{};  // hashes of the last words
  uint64_t words_ = 0, word_ = 0;
  bool in_word_ = false;
};

struct NearDuplicate {
  int32_t of = -1;  // index of the document that is kept; -1 = this one is kept
  float similarity = 0;
};

// A document is dropped where an earlier one that is kept is estimated to be at least `threshold` alike (0.5 to 1). Pairs
// are looked for by 21 bands of 6 places (Leskovec, Rajaraman and Ullman, section 3.4): of pairs that are 0.8 alike 99.8 %
// are tried. In a band of very many documents each is tried with the first and the last few.
std::vector<NearDuplicate> find_near_duplicates(std::span<const Signature* const> documents, double threshold);

}  // namespace tw
