#include "src/data/formats/encoding.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "src/core/error.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

constexpr std::array<std::pair<Encoding, const char*>, 6> kNames = {{{Encoding::utf8, "UTF-8"},
                                                                     {Encoding::utf8_bom, "UTF-8 with BOM"},
                                                                     {Encoding::utf8_repaired, "UTF-8 with errors"},
                                                                     {Encoding::utf16le, "UTF-16LE"},
                                                                     {Encoding::utf16be, "UTF-16BE"},
                                                                     {Encoding::latin1, "Latin-1"}}};

// Small files need no large block, which would be cleared for each of them.
size_t block_for(const ByteReader& file, size_t block) {
  return std::max<size_t>(size_t(std::min(int64_t(block) - 1, file.size_hint())) + 1, 16);
}

bool ascii_word(const char* p) noexcept {
  uint64_t w;
  std::memcpy(&w, p, 8);
  // No byte with its high bit and none below 0x20.
  return ((w | (w - 0x2020202020202020u)) & 0x8080808080808080u) == 0;
}

class Counter {
 public:
  // Decodes all but a character cut off at the end of the block; returns the bytes used.
  size_t feed(const char* p, size_t n, bool last) {
    size_t i = 0;
    while (i < n) {
      while (i + 8 <= n && ascii_word(p + i)) i += 8;
      if (i == n) break;
      const unsigned char c = static_cast<unsigned char>(p[i]);
      if (c < 0x80) {
        control += (c < 0x20 && !(c >= 9 && c <= 13) && c != 27) || c == 0x7F;
        if (c == 0) {
          if (nul < 0) nul = seen + int64_t(i);
          ++nuls[(seen + int64_t(i)) & 1];
        }
        ++i;
        continue;
      }
      const int length = utf8_length(p + i, n - i);
      if (length < 0 && !last) break;
      if (length > 0) {
        ++characters;
        i += size_t(length);
      } else {
        ++invalid;
        ++i;
      }
    }
    seen += int64_t(i);
    return i;
  }
  int64_t seen = 0, nul = -1, control = 0, characters = 0, invalid = 0;
  int64_t nuls[2] = {0, 0};  // at even and odd positions
};

}  // namespace

const char* name_of(Encoding encoding) noexcept {
  for (const auto& [e, name] : kNames)
    if (e == encoding) return name;
  return "?";
}

std::optional<Encoding> encoding_of(std::string_view name) noexcept {
  for (const auto& [e, n] : kNames)
    if (name == n) return e;
  return std::nullopt;
}

ByteReport inspect_bytes(const std::filesystem::path& path, size_t block) {
  FileBytes file(path);
  ByteReport report = inspect_bytes(file, block);
  report.sha256 = file.sha256();
  return report;
}

ByteReport inspect_bytes(ByteReader& file, size_t block) {
  ByteReport report;
  Counter count;
  std::string buffer(block_for(file, block), '\0'), head;
  size_t kept = 0;  // bytes of a cut character
  for (;;) {
    const size_t n = file.read(buffer.data() + kept, buffer.size() - kept);
    if (head.size() < 4) head.append(buffer, kept, std::min(n, 4 - head.size()));
    report.bytes += int64_t(n);
    const size_t have = kept + n, used = count.feed(buffer.data(), have, n == 0);
    kept = have - used;
    std::memmove(buffer.data(), buffer.data() + used, kept);
    if (n == 0) break;
  }
  const auto starts = [&](std::string_view mark) { return std::string_view(head).starts_with(mark); };
  const auto binary = [&](std::string why) {
    report.binary = true;
    report.reason = std::move(why);
  };
  if (starts({"\xFF\xFE\0\0", 4}) || starts({"\0\0\xFE\xFF", 4})) {
    binary("UTF-32 is not read: save it as UTF-8");
  } else if (starts("\xFF\xFE") || starts("\xFE\xFF")) {
    report.encoding = starts("\xFF\xFE") ? Encoding::utf16le : Encoding::utf16be;
  } else if (std::min(count.nuls[0], count.nuls[1]) == 0 && count.nuls[0] + count.nuls[1] > report.bytes / 4) {
    binary("UTF-16 without a byte order mark is not read: save it as UTF-8");
  } else if (count.nul >= 0) {
    binary(fmt::format("binary: NUL byte at position {}", count.nul));
  } else if (count.control * 50 > report.bytes) {
    binary(fmt::format("binary: {} control characters in {} bytes", count.control, report.bytes));
  } else if (count.invalid == 0) {
    report.encoding = starts("\xEF\xBB\xBF") ? Encoding::utf8_bom : Encoding::utf8;
  } else if (count.characters >= 10 * count.invalid || starts("\xEF\xBB\xBF")) {
    report.encoding = Encoding::utf8_repaired;
  } else {
    report.encoding = Encoding::latin1;
  }
  return report;
}

TextReader::TextReader(ByteReader& file, Encoding encoding, size_t block)
    : file_(file), encoding_(encoding), block_(block_for(file, block)) {}

bool TextReader::next(std::string& text) {
  text.clear();
  while (text.empty() && !end_) {
    const size_t have = raw_.size();
    raw_.resize(have + block_);
    const size_t n = file_.read(raw_.data() + have, block_);
    raw_.resize(have + n);
    end_ = n == 0;
    // A byte order mark is decided on when it is there whole.
    if (start_ && raw_.size() < 3 && !end_) continue;
    const bool start = std::exchange(start_, false);
    size_t i = 0;
    if (encoding_ == Encoding::utf16le || encoding_ == Encoding::utf16be) {
      const int high = encoding_ == Encoding::utf16le ? 1 : 0;
      const auto unit = [&](size_t k) {
        return uint32_t(static_cast<unsigned char>(raw_[k + size_t(high)])) << 8 | static_cast<unsigned char>(raw_[k + 1 - size_t(high)]);
      };
      if (start && raw_.size() >= 2) i = 2;  // the mark
      for (; i + 2 <= raw_.size(); i += 2) {
        uint32_t c = unit(i);
        if (c >= 0xD800 && c < 0xDC00) {
          if (i + 4 > raw_.size() && !end_) break;
          const uint32_t low = i + 4 <= raw_.size() ? unit(i + 2) : 0;
          if (low >= 0xDC00 && low < 0xE000) c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00), i += 2;
        }
        append_utf8(text, c);
      }
      if (end_ && i < raw_.size()) append_utf8(text, 0xFFFD), i = raw_.size();
    } else if (encoding_ == Encoding::latin1) {
      for (; i < raw_.size(); ++i) append_utf8(text, windows_1252(static_cast<unsigned char>(raw_[i])));
    } else {
      if (start && raw_.starts_with("\xEF\xBB\xBF")) i = 3;
      while (i < raw_.size()) {
        size_t run = i;
        int length = 1;
        while (run < raw_.size() && (length = utf8_length(raw_.data() + run, raw_.size() - run)) > 0) run += size_t(length);
        text.append(raw_, i, run - i);
        i = run;
        if (i == raw_.size() || (length < 0 && !end_)) break;
        append_utf8(text, 0xFFFD);
        ++i;
      }
    }
    raw_.erase(0, i);
  }
  return !text.empty();
}

}  // namespace tw
