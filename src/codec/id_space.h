// The one id space of a model. Text comes first; each codec has a range behind it: its markers, a name, and its ids. All are
// special tokens of the tokenizer, so that tokenizer.json tells all of it, here and in other programs:
//   <|molecule|>  <|molecule=0123456789abcdef|>  <|/molecule|>  <|molecule:0|>  <|molecule:1|> …
// A document of a codec is its begin marker, its ids, its end marker. The second token stands in no document: its digits are the
// beginning of the codec's hash. What can follow within a document is one stretch: the end marker and the codec's ids.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/codec/codec.h"
#include "src/codec/text/spec.h"

namespace tw {

class TextTokenizer;

struct CodecRange {
  std::string name;           // of the codec
  std::string codebook;       // 16 digits
  int32_t begin = 0, end = 0; // markers
  int32_t first = 0, size = 0;
  int32_t last() const noexcept { return first + size - 1; }
  bool holds(int32_t id) const noexcept { return id >= first && id - first < size; }
};

// Part of a row of ids that is of one kind.
struct IdSpan {
  const CodecRange* range = nullptr;  // nullptr = text
  std::vector<int32_t> ids;           // of text: as they are; of a codec: those of the codec, without markers
  bool closed = true;                 // false: the row ended before the end marker
};

class IdSpace {
 public:
  explicit IdSpace(const TextTokenizer& tokenizer);
  std::span<const CodecRange> ranges() const noexcept { return ranges_; }
  const CodecRange* named(std::string_view name) const noexcept;  // nullptr = it has none
  // Cuts a row where kinds change. Ids of a codec outside of its markers, and of others within, are left out.
  std::vector<IdSpan> parts(std::span<const int32_t> ids) const;

 private:
  std::vector<CodecRange> ranges_;
};

// Puts the tokens of a codec behind those that are there. Error(config) where the tokenizer already has a codec of this name with
// another codebook; with the same one nothing is done.
void add_codec(TokenizerSpec& spec, const Codec& codec);

}  // namespace tw
