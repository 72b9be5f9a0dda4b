// The text of one scanned file, in blocks that may be tokenised one by one.
#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "src/data/scan.h"

namespace tw {

class TextTokenizer;

// Longest block where there is no certain place to cut.
inline constexpr size_t kMaxTextBlock = size_t(64) << 20;

// True where a text may be cut at next_certain_start (codec/text/pretokenizer.h) without changing an id.
bool cuts_are_certain(const TextTokenizer& tokenizer);

// Gives the text of `file` (of the inventory's folder) block by block, each at least `block` bytes long but the last.
// certain_cuts = false: blocks of kMaxTextBlock. Returns false, without having given anything where the text fits into
// one block, if the file is no longer the one that was scanned; where it changes while longer text is given: Error(data).
// Error(no_input) where it cannot be read any more.
bool read_document(const std::filesystem::path& folder, const ScannedFile& file, bool certain_cuts, size_t block,
                   const std::function<void(std::string_view)>& take);

}  // namespace tw
