#include "tests/fuzz/tokenizer.h"

#include "src/codec/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {

void try_tokenizer(TokenizerSpec spec) {
  const TextTokenizer tokenizer(std::move(spec));
  for (const std::string_view text : {"Hello  world, it's <s>a</s>\n\n", " \xC3\xA9\xFF\x80 12345 \xE2\x82\xAC\tab"}) {
    const std::vector<int32_t> ids = tokenizer.encode(text);
    for (const int32_t id : ids) expect(id >= 0 && id < tokenizer.vocab_size(), "ids are in the vocabulary");
    const std::string back = tokenizer.decode(ids);
    if (tokenizer.lossless()) expect(back == text, "a lossless tokenizer gives the text back");
    tokenizer.decode(tokenizer.encode(text, {.parse_special = true, .add_bos = true, .add_eos = true}), true);
  }
  for (int32_t id = 0; id < std::min(tokenizer.vocab_size(), 8); ++id) use(tokenizer.token_bytes(id).data());
}

}  // namespace tw::fuzz
