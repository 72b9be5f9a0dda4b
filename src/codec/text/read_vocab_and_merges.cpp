// Radford et al. 2019: encoder.json and vocab.bpe; Hugging Face calls them vocab.json and merges.txt.
#include <algorithm>

#include "src/codec/text/byte_alphabet.h"
#include "src/codec/text/readers.h"
#include "src/codec/text/vocabulary.h"

namespace tw {
namespace {

// <|endoftext|>, <s>, [PAD]: neither file says which tokens are special.
bool looks_special(std::string_view token) {
  return token.size() > 2 && ((token.starts_with('<') && token.ends_with('>')) || (token.starts_with('[') && token.ends_with(']')));
}

}  // namespace

TokenizerSpec read_vocab_and_merges(std::string_view vocab, const std::string& vocab_file, std::string_view merges,
                                    const std::string& merges_file) {
  TokenizerSpec spec;
  const auto json = parse_tokenizer_file(vocab, vocab_file);
  Vocabulary vocabulary(spec, {json, vocab_file + ": vocab"});
  size_t number = 0;
  for (size_t at = 0; at < merges.size();) {
    const size_t end = std::min(merges.find('\n', at), merges.size());
    std::string_view line = merges.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    const auto where = [&] { return fmt::format("{}:{}", merges_file, number); };
    const size_t space = line.find(' ');
    TW_CHECK(space != line.npos && line.find(' ', space + 1) == line.npos, data, "{}: not \"left right\"", where());
    vocabulary.add_merge(line.substr(0, space), line.substr(space + 1), where);
  }
  TW_CHECK(!spec.merges.empty(), data, "{} has no merges", merges_file);
  std::vector<bool> made(spec.tokens.size());
  for (const Merge& m : spec.merges) made[size_t(m.result)] = true;
  for (size_t id = 0; id < made.size(); ++id) {
    if (made[id] || spec.kinds[id] == TokenizerSpec::Kind::hole || !looks_special(spec.tokens[id])) continue;
    spec.kinds[id] = TokenizerSpec::Kind::special;
    spec.added.push_back({int32_t(id), spec.tokens[id]});
  }
  vocabulary.to_bytes();
  name_special_tokens(spec);
  return spec;
}

}  // namespace tw
