#include "src/core/utf8.h"
#include "src/data/personal_data.h"
#include "tests/fuzz/fuzz.h"

namespace {
std::string masked(std::string_view text, size_t piece, const tw::PersonalMask& mask, tw::PersonalCounts& counts) {
  std::string out;
  tw::PersonalData data(mask, [&](std::string_view part) { out += part; });
  for (size_t i = 0; i < text.size(); i += piece) data.feed(text.substr(i, piece));
  data.end();
  counts = data.counts();
  return out;
}
}  // namespace

TW_FUZZ_TARGET(personal_data) {
  if (input.size() < 2) return;
  const auto bits = static_cast<unsigned char>(input[0]);
  std::vector<std::string> names;
  for (const tw::PersonalKind kind : tw::kPersonalKinds)
    if (bits >> unsigned(kind) & 1) names.emplace_back(tw::name_of(kind));
  const tw::PersonalMask mask(names);
  const std::string text = tw::repaired_utf8(input.substr(1));
  tw::PersonalCounts counts, again;
  const std::string whole = masked(text, text.size(), mask, counts);
  expect(tw::is_utf8(whole), "text is UTF-8");
  if (mask.empty()) expect(whole == text, "without a mask the text stays");
  expect(masked(text, 1 + bits % 7, mask, again) == whole && again == counts, "where the text is cut changes nothing");
}
