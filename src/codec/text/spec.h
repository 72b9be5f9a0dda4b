// What a tokenizer is, as plain data: every reader and the trainer make one, TextTokenizer runs it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "src/codec/text/merges.h"
#include "src/codec/text/pretokenizer.h"

namespace tw {

// A text that is one token wherever it stands (special ones: where the caller asks for that).
struct AddedToken {
  int32_t id = -1;
  std::string text;
  bool special = true;
  bool left_space = false, right_space = false;  // takes the white space before / after it along
  bool operator==(const AddedToken&) const = default;
};

struct TokenizerSpec {
  enum class Units : uint8_t {
    bytes,      // merges start from the 256 bytes (GPT-2, Llama 3)
    characters  // merges start from characters, U+2581 stands for a space (SentencePiece, Llama 2)
  };
  enum class Kind : uint8_t {
    normal,
    byte,     // units characters: one byte, for characters without a token
    special,  // never the result of merges; its text stands as it is, also in units bytes
    unknown,
    hole      // an id without a token
  };
  // Which stretches of text (between added tokens) get a space in front: all, those that start with none, or of these
  // only the one at the start of the input.
  enum class Prefix : uint8_t { none, always, if_missing, first_if_missing };

  Units units = Units::bytes;
  SplitRule rule = SplitRule::gpt2;
  std::vector<std::string> tokens;  // by id. units bytes: the bytes; characters: the text with U+2581. "" in a hole
  std::vector<Kind> kinds;          // by id
  std::vector<Merge> merges;        // units characters: symbols from tokens.size() on are `extra_characters`
  std::vector<char32_t> extra_characters;  // characters of tokens that are no tokens themselves
  std::vector<AddedToken> added;
  bool ignore_merges = false;       // a whole piece that is a token is that token, whatever the merges say
  bool byte_fallback = false;       // characters only: an unknown character is its bytes
  bool fuse_unknown = false;
  Prefix prefix = Prefix::none;
  bool strip_prefix = false;        // decode drops one leading space
  // SentencePiece's own normaliser
  std::string charsmap;             // precompiled rules, "" = none
  bool collapse_spaces = false;     // remove_extra_whitespaces
  bool added_after_normalizer = false;  // added tokens that are not special (user-defined pieces) are left alone by the
                                        // normaliser, and found in what it made, prefix included, with U+2581 for spaces

  int32_t bos = -1, eos = -1, pad = -1, unknown = -1;
  bool add_bos = false, add_eos = false;  // what the file's post-processor asks for

  int32_t size() const noexcept { return int32_t(tokens.size()); }
};

inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581
// Largest number of ids we accept in a file, and the longest token in bytes.
inline constexpr int64_t kMaxTokens = int64_t(1) << 22;
inline constexpr size_t kMaxTokenBytes = 1024;

// For readers: every pair of symbols whose concatenation is a token merges, in the order of `rank_of` the result
// (tiktoken's and SentencePiece's rule). Units and tokens must be set; fills merges and extra_characters.
// rank[id] = MergeTable::kNone leaves a token out. `file` is for messages: Error(data) where the work is absurd.
void fill_merges_by_rank(TokenizerSpec& spec, const std::vector<uint32_t>& rank, const std::string& file);

// The merges in an order that says the same without ranks, as tokenizer.json lists them: by rank; of equal rank first
// what makes the longer token, then by ids. Leftmost first, which breaks ties else, is the same where the tokens of
// equal rank are runs of one character (SentencePiece models have such runs of spaces): see ties_are_runs.
std::vector<Merge> ordered_merges(const TokenizerSpec& spec);
// True where of any two merges of equal rank both make the same token or both make runs of the same character.
bool ties_are_runs(const TokenizerSpec& spec);

}  // namespace tw
