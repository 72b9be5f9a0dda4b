// The text behind the tokens of a file.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

#include "src/data/token_file.h"

namespace tw {

class TextTokenizer;

// The bytes that were tokenised as `document`, in pieces of about 64 KiB; special tokens have none.
void read_token_text(const TokenFile& file, const Document& document, const TextTokenizer& tokenizer,
                     const std::function<void(std::string_view)>& take);

}  // namespace tw
