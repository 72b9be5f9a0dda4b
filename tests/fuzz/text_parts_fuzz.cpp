// Parts of a text, tokenised one by one, are the ids of the whole, however the text comes in pieces.
#include "src/codec/text/tokenizer.h"
#include "src/core/utf8.h"
#include "src/data/document_text.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {
namespace {

std::vector<std::string> parts_of(std::string_view text, Cuts cuts, size_t part, size_t longest, size_t step) {
  TextParts parts(cuts, part, longest);
  std::vector<std::string> all;
  std::string_view next;
  while (!text.empty()) {
    size_t n = std::min(step, text.size());
    while (n < text.size() && (text[n] & 0xC0) == 0x80) ++n;  // pieces are whole characters
    parts.add(text.substr(0, n));
    text.remove_prefix(n);
    while (parts.next(next, false)) all.emplace_back(next);
  }
  while (parts.next(next, true)) all.emplace_back(next);
  return all;
}

}  // namespace
}  // namespace tw::fuzz

TW_FUZZ_TARGET(text_parts) {
  if (input.size() < 3) return;
  static const TextTokenizer tokenizers[] = {TextTokenizer([] {
    TokenizerSpec spec;
    for (int b = 0; b < 256; ++b) spec.tokens.emplace_back(1, char(b));
    for (const char* t : {"  ", "ab", " a", "\n\n", "12"}) spec.tokens.emplace_back(t);
    spec.kinds.resize(spec.tokens.size());
    std::vector<uint32_t> rank(spec.tokens.size());
    for (uint32_t i = 0; i < rank.size(); ++i) rank[i] = i;
    fill_merges_by_rank(spec, rank, "test");
    return spec;
  }())};
  const TextTokenizer& tokenizer = tokenizers[0];
  const auto byte = [&](size_t i) { return size_t(static_cast<unsigned char>(input[i])); };
  const size_t part = 8 + byte(0) % 32, longest = part + byte(1), step = 1 + byte(2) % 50;
  const std::string text = repaired_utf8(input.substr(3));
  const Cuts cuts = cuts_of(tokenizer);
  const auto parts = parts_of(text, cuts, part, longest, step);
  expect(parts == parts_of(text, cuts, part, longest, text.size() + 1), "parts depend on the text alone");
  std::string joined;
  std::vector<int32_t> ids;
  bool forced = false;
  for (const std::string& p : parts) {
    joined += p;
    forced |= p.size() + 3 >= longest;
    for (const int32_t id : tokenizer.encode(p)) ids.push_back(id);
  }
  expect(joined == text, "the parts are the text");
  if (!forced) expect(ids == tokenizer.encode(text), "the ids of the parts are those of the whole");
}
