// Generated text, each sample beside the passage of the training text that is nearest to it.
#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report/common_substring.h"
#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {
namespace {

constexpr size_t kSamples = 10, kText = 2000, kPrompt = 600;
constexpr size_t kAround = 500;  // bytes shown on each side of what a passage has in common with a sample
constexpr size_t kMarked = 12;   // fewer equal bytes than that are no match worth marking

bool inside_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// The text with the part [begin, begin + length) marked.
std::string marked(std::string_view text, size_t begin, size_t length, size_t limit) {
  if (length < kMarked) return escaped(text, limit);
  return escaped(text.substr(0, begin), text.size()) + "<mark>" + escaped(text.substr(begin, length), text.size()) +
         "</mark>" + escaped(text.substr(begin + length), limit);
}

std::string nearest(const Json& sample, std::string_view text, CommonSubstring& common) {
  const Json& n = part_of(sample, "nearest");
  if (!n.is_object()) return "";
  std::string passage = blank_lines_folded(text_of(n, "text").substr(0, 2 * kText));
  const std::string head = "<div class=\"near\"><h4>Nearest training passage</h4>";
  if (passage.empty()) return head + "<p class=\"foot\">None has a part in common with it.</p></div>";
  while (!passage.empty() && inside_character(passage.back())) passage.pop_back();
  common = longest_common_substring(text, passage);
  size_t begin = common.in_b > kAround ? common.in_b - kAround : 0;
  while (begin > 0 && inside_character(passage[begin])) --begin;
  const double longest = real_of(n, "longest_match"), overlap = real_of(n, "overlap");
  std::string facts;
  if (std::isfinite(longest)) facts += fmt::format("Longest equal part {}. ", many(longest, "byte", "bytes"));
  if (std::isfinite(overlap))
    facts += fmt::format("{} of the sample's short passages stand in the training text.", percent(overlap));
  return head + fmt::format("<p class=\"text\" dir=\"auto\">{}{}</p><p class=\"foot\">{}<br>{}</p></div>", begin ? "…" : "",
                            marked(std::string_view(passage).substr(begin), common.in_b - begin, common.length, kAround),
                            code(text_of(n, "path"), 300), facts);

}

}  // namespace

CommonSubstring longest_common_substring(std::string_view a, std::string_view b) {
  std::vector<uint32_t> row(b.size() + 1);  // row[j]: equal bytes that end at a[i - 1] and b[j - 1]
  CommonSubstring best;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = b.size(); j > 0; --j) {
      row[j] = a[i - 1] == b[j - 1] ? row[j - 1] + 1 : 0;
      if (row[j] > best.length) best = {i - row[j], j - row[j], row[j]};
    }
  while (best.length && inside_character(a[best.in_a])) ++best.in_a, ++best.in_b, --best.length;
  const auto cut = [&] {  // the byte behind belongs to the last character
    const size_t end_a = best.in_a + best.length, end_b = best.in_b + best.length;
    return (end_a < a.size() && inside_character(a[end_a])) || (end_b < b.size() && inside_character(b[end_b]));
  };
  while (best.length && cut()) --best.length;
  return best;
}

Section samples(const RunRecord& run) {
  const Json& list = part_of(run.samples, "samples");
  if (list.is_array() && list.empty() && part_of(run.samples, "kinds").is_array()) return {"samples", "Generated text", ""};  // it knows no text
  if (!list.is_array() || list.empty())
    return {"samples", "Generated text", missing("No samples.json, or no sample in it.")};
  std::string body =
      note(fmt::format(
          "Temperature {}, top-k {}, top-p {}, seed {}. Grey is the prompt, the rest is the model's. What a sample "
          "and its nearest passage of the training text have in common is marked in both.",
          plain(real_of(run.samples, "temperature")), whole(real_of(run.samples, "top_k")),
          plain(real_of(run.samples, "top_p")), whole(real_of(run.samples, "seed")))) +
      "<div class=\"samples\">";
  size_t shown = 0;
  bool compared = false;
  for (const Json& sample : list) {
    if (shown++ == kSamples) break;
    std::string text = blank_lines_folded(text_of(sample, "text"));
    const bool long_text = text.size() > kText;
    if (long_text) {
      text.resize(kText);
      while (!text.empty() && inside_character(text.back())) text.pop_back();
      if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xc0) text.pop_back();
    }
    CommonSubstring common;
    const std::string near = nearest(sample, text, common);
    compared |= !near.empty();
    const Json& stopped = part_of(sample, "stopped");
    const double tokens = real_of(sample, "tokens"), speed = real_of(sample, "tokens_per_second");
    std::string foot = std::isfinite(tokens) ? many(tokens, "token", "tokens") : "";
    if (std::isfinite(speed)) foot += ", " + digits(speed, 3) + " tokens/s";
    if (stopped.is_boolean()) foot += stopped.get<bool>() ? ", ended by the model" : ", cut at the limit";
    body += fmt::format(
        "<article class=\"sample{}\"><div><h3>Sample {}</h3><p class=\"text\" dir=\"auto\"><span class=\"prompt\">{}"
        "</span><span class=\"made\">{}{}</span></p><p class=\"foot\">{}</p></div>{}</article>\n",
        near.empty() ? "" : " pair", shown, escaped(text_of(sample, "prompt"), kPrompt),
        marked(text, common.in_a, common.length, kText), long_text ? "…" : "", foot, near);
  }
  body += "</div>\n";
  if (!compared) body += missing("samples.json does not name the nearest passages of the training text.");
  if (list.size() > kSamples) body += missing(fmt::format("{} more are in samples.json.", list.size() - kSamples));
  return {"samples", "Generated text", body};
}

}  // namespace tw::report
