// vocab.json, merges.txt and tokenizer_config.json.
#include "src/codec/text/readers.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/tokenizer.h"

TW_FUZZ_TARGET(vocab_merges) {
  const std::string_view vocab = next_part(input), merges = next_part(input);
  TokenizerSpec spec = read_vocab_and_merges(vocab, "vocab.json", merges, "merges.txt");
  if (!input.empty()) read_tokenizer_config(spec, input, "tokenizer_config.json");
  try_tokenizer(std::move(spec));
}
