#include "src/data/token_text.h"

#include "src/codec/text/tokenizer.h"

namespace tw {

void read_token_text(const TokenFile& file, const Document& document, const TextTokenizer& tokenizer,
                     const std::function<void(std::string_view)>& take) {
  constexpr size_t kBlock = size_t(1) << 16;
  std::string text;
  for (int64_t i = document.first_token; i < document.first_token + document.tokens; ++i) {
    if (!tokenizer.is_special(file[i])) text += tokenizer.token_bytes(file[i]);
    if (text.size() >= kBlock) take(text), text.clear();
  }
  if (!text.empty()) take(text);
}

}  // namespace tw
