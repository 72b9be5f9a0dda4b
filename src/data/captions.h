// Words that go with files of a codec's kind, so that a model learns to make the one from the other.
#pragma once
#include "src/data/scan.h"

namespace tw {

class TokenFile;
class TextTokenizer;
struct CodecRange;

inline constexpr size_t kLongestCaption = 4096;  // bytes

// A text of the same name beside a file ("gear.txt" for "gear.png") is its caption, and no document of its own. Of kinds whose captions are folders
// (CodecKind::folder_captions) the name of the folder a file lies in is, where the files of the kind lie in two or more.
void add_captions(Inventory& inventory);

// Captions of a kind in a token file, those that most documents have first; of equals the earlier one. At most `most` are looked for in the first
// 100,000 documents of the kind.
std::vector<std::string> captions_in(const TokenFile& file, const TextTokenizer& tokenizer, const CodecRange& range, size_t most);

}  // namespace tw
