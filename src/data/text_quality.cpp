#include "src/data/text_quality.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "src/core/hash.h"

namespace tw {
namespace {

constexpr size_t kLongestLine = size_t(1) << 16;  // what is longer is taken in parts
constexpr std::string_view kEllipsis = "\xE2\x80\xA6";
constexpr std::array<std::string_view, 6> kBullets = {"- ", "* ", "+ ", "\xE2\x80\xA2", "\xE2\x80\xA3", "\xE2\x97\xA6"};

bool space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v'; }
// Letters of other alphabets are beyond ASCII, and so is little else.
bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0xC3; }

}  // namespace

void TextQuality::feed(std::string_view piece) {
  while (!piece.empty()) {
    const size_t end = std::min(piece.find('\n'), piece.size()), part = std::min(end, kLongestLine - line_.size());
    line_.append(piece.substr(0, part));
    piece.remove_prefix(part);
    const bool ended = part == end && !piece.empty();
    if (ended) piece.remove_prefix(1);
    if (ended || line_.size() == kLongestLine) line();
  }
}

void TextQuality::line() {
  std::string_view text = line_;
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  if (!text.empty()) {
    ++lines_, line_bytes_ += int64_t(text.size());
    bullets_ += std::any_of(kBullets.begin(), kBullets.end(), [&](std::string_view b) { return text.starts_with(b); });
    ellipses_ += text.ends_with("...") || text.ends_with(kEllipsis);
    if (seen_.size() < kMostLines || seen_.contains(xxh3(text.data(), text.size())))
      if (!seen_.insert(xxh3(text.data(), text.size())).second) ++repeated_, repeated_bytes_ += int64_t(text.size());
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      bool letters = false;
      for (; at < text.size() && !space(text[at]); ++at) {
        letters = letters || letter(text[at]);
        letters_ += (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;  // characters
      }
      ++words_, with_letters_ += letters;
      const std::string_view word = text.substr(begin, at - begin);
      symbols_ += std::count(word.begin(), word.end(), '#') + (word.find("...") != word.npos || word.find(kEllipsis) != word.npos);
      while (at < text.size() && space(text[at])) ++at;
    }
  }
  line_.clear();
}

std::string TextQuality::finish() {
  line();
  const auto share = [](int64_t part, int64_t whole) { return whole > 0 ? double(part) / double(whole) : 0; };
  if (words_ < 50) return fmt::format("{} words", words_);
  if (const double mean = share(letters_, words_); mean < 3 || mean > 10) return fmt::format("words of {:.1f} letters on average", mean);
  if (share(with_letters_, words_) < 0.8) return fmt::format("{:.0f} % of its words have letters", 100 * share(with_letters_, words_));
  if (share(symbols_, words_) > 0.1) return fmt::format("{:.0f} \"#\" or ellipses in 100 words", 100 * share(symbols_, words_));
  if (share(bullets_, lines_) > 0.9) return fmt::format("{:.0f} % of its lines begin with a bullet", 100 * share(bullets_, lines_));
  if (share(ellipses_, lines_) > 0.3) return fmt::format("{:.0f} % of its lines end with an ellipsis", 100 * share(ellipses_, lines_));
  if (share(repeated_, lines_) > 0.3) return fmt::format("{:.0f} % of its lines were there before", 100 * share(repeated_, lines_));
  if (share(repeated_bytes_, line_bytes_) > 0.2) return fmt::format("{:.0f} % of it are lines that were there before", 100 * share(repeated_bytes_, line_bytes_));
  return "";
}

}  // namespace tw
