// SentencePiece's normaliser: precompiled character rules (a double-array trie and the texts it points to), and
// removal of extra spaces. Format: sentencepiece/src/normalizer.cc, DecodePrecompiledCharsMap and Normalize.
#pragma once
#include <functional>
#include <string>
#include <string_view>

namespace tw {

// Error(data) naming `file` where the map's sizes do not fit.
void check_charsmap(std::string_view charsmap, const std::string& file);

// Applies the rules (`charsmap` may be empty) and, if `collapse_spaces`, drops leading and trailing spaces and makes
// runs of spaces one. Bytes that are no UTF-8 stay. Adds no prefix. `keep` (may be empty) says how many bytes at the
// start of a text are a user-defined piece, which no rule changes.
using KeptLength = std::function<size_t(std::string_view)>;
std::string spm_normalize(std::string_view text, std::string_view charsmap, bool collapse_spaces, const KeptLength& keep);

}  // namespace tw
