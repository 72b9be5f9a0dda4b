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

// What a byte is: white space, (part of) a letter, the beginning of a character. Letters of other alphabets are beyond ASCII, and so is little else.
enum : uint8_t { kSpace = 1, kLetter = 2, kBegins = 4 };
constexpr std::array<uint8_t, 256> kBytes = [] {
  std::array<uint8_t, 256> all{};
  for (size_t c = 0; c < 256; ++c) {
    if (c == ' ' || (c >= 9 && c <= 13)) all[c] |= kSpace;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0xC3) all[c] |= kLetter;
    if ((c & 0xC0) != 0x80) all[c] |= kBegins;
  }
  return all;
}();
uint8_t kind(char c) { return kBytes[static_cast<unsigned char>(c)]; }

}  // namespace

void TextQuality::feed(std::string_view piece) {
  while (!piece.empty()) {
    const size_t end = std::min(piece.find('\n'), piece.size()), part = std::min(end, kLongestLine - line_.size());
    const std::string_view text = piece.substr(0, part);
    piece.remove_prefix(part);
    const bool ended = part == end && !piece.empty();
    if (ended) piece.remove_prefix(1);
    if (!ended && line_.size() + part < kLongestLine) {
      line_ += text;
    } else if (line_.empty()) {
      line(text);
    } else {
      line_ += text;
      line(line_);
      line_.clear();
    }
  }
}

bool TextQuality::fresh(uint64_t hash) {
  hash += hash == 0;
  if (2 * known_ >= seen_.size() && known_ < kMostLines) {
    std::vector<uint64_t> larger(std::max<size_t>(64, 4 * seen_.size()));
    for (const uint64_t h : seen_)
      if (h) {
        size_t at = h & (larger.size() - 1);
        while (larger[at]) at = (at + 1) & (larger.size() - 1);
        larger[at] = h;
      }
    seen_ = std::move(larger);
  }
  size_t at = hash & (seen_.size() - 1);
  for (; seen_[at]; at = (at + 1) & (seen_.size() - 1))
    if (seen_[at] == hash) return false;
  if (known_ < kMostLines) seen_[at] = hash, ++known_;
  return true;
}

void TextQuality::line(std::string_view text) {
  while (!text.empty() && kind(text.front()) & kSpace) text.remove_prefix(1);
  while (!text.empty() && kind(text.back()) & kSpace) text.remove_suffix(1);
  if (text.empty()) return;
  ++lines_, line_bytes_ += int64_t(text.size());
  bullets_ += std::any_of(kBullets.begin(), kBullets.end(), [&](std::string_view b) { return text.starts_with(b); });
  ellipses_ += text.ends_with("...") || text.ends_with(kEllipsis);
  if (!fresh(xxh3(text.data(), text.size()))) ++repeated_, repeated_bytes_ += int64_t(text.size());
  symbols_ += std::count(text.begin(), text.end(), '#');
  // Without branches: where words end cannot be foreseen.
  unsigned before = kSpace, has = 0;  // of the word at hand: whether it has a letter
  int64_t words = 0, characters = 0, with = 0;
  for (const char c : text) {
    const unsigned k = kind(c), space = k & kSpace, inside = space ^ 1u;
    words += before & inside;
    characters += (k >> 2) & inside;
    const unsigned now = (has | (k >> 1 & 1u)) & inside;
    with += now & (has ^ 1u);
    has = now, before = space;
  }
  words_ += words, letters_ += characters, with_letters_ += with;
  if (text.find("...") == text.npos && text.find(kEllipsis) == text.npos) return;
  for (size_t at = 0; at < text.size();) {
    const size_t end = size_t(std::find_if(text.begin() + std::ptrdiff_t(at), text.end(), [](char c) { return kind(c) & kSpace; }) - text.begin());
    const std::string_view word = text.substr(at, end - at);
    symbols_ += word.find("...") != word.npos || word.find(kEllipsis) != word.npos;
    at = end + 1;
  }
}

std::string TextQuality::finish() {
  line(line_);
  line_.clear();
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
