#include "src/data/near_duplicates.h"

#include <algorithm>
#include <limits>

#include "src/core/error.h"

namespace tw {
namespace {

constexpr size_t kBands = 21, kRows = 6;
constexpr size_t kTried = 16;  // documents of one band, at either end
constexpr uint32_t kEmpty = std::numeric_limits<uint32_t>::max();

uint64_t mix(uint64_t x) noexcept {  // of splitmix64
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

bool word_byte(unsigned char c) noexcept {
  return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

double similarity(const Signature& a, const Signature& b) noexcept {
  int equal = 0;
  bool any = false;
  for (size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i], any = any || (a[i] != 0 && b[i] != 0);
  return any ? double(equal) / double(a.size()) : 0;
}

SignatureBuilder::SignatureBuilder() { least_.fill(kEmpty); }

void SignatureBuilder::feed(std::string_view piece) {
  for (const char c : piece) {
    const auto byte = static_cast<unsigned char>(c);
    if (word_byte(byte)) {
      word_ = (word_ ^ (byte >= 'A' && byte <= 'Z' ? byte + 32u : byte)) * 0x100000001B3ull;  // FNV-1a
      in_word_ = true;
    } else if (in_word_) {
      end_word();
    }
  }
}

void SignatureBuilder::end_word() {
  last_[words_ % 5] = mix(word_ + 0x9E3779B97F4A7C15ull);
  ++words_, word_ = 0, in_word_ = false;
  if (words_ < 5) return;
  uint64_t shingle = 0;
  for (uint64_t k = 0; k < 5; ++k) shingle = mix(shingle * 31 + last_[(words_ + k) % 5]);  // the oldest first
  uint32_t& least = least_[shingle & 127];
  least = std::min(least, std::max<uint32_t>(1, std::min(uint32_t(shingle >> 32), kEmpty - 1)));
}

Signature SignatureBuilder::finish() {
  if (in_word_) end_word();
  Signature out = least_;
  if (words_ == 0) {
    out.fill(0);
    return out;
  }
  if (words_ < 5) {  // one shingle of all words
    uint64_t shingle = words_;
    for (uint64_t k = 0; k < words_; ++k) shingle = mix(shingle * 31 + last_[k]);
    out.fill(std::max<uint32_t>(1, std::min(uint32_t(shingle >> 32), kEmpty - 1)));
    return out;
  }
  for (size_t i = 0; i < out.size(); ++i)
    for (uint64_t attempt = 1; out[i] == kEmpty; ++attempt) {
      const size_t from = size_t(mix(i * 0x9E3779B97F4A7C15ull + attempt) & 127);
      if (least_[from] != kEmpty) out[i] = least_[from];
    }
  return out;
}

std::vector<NearDuplicate> find_near_duplicates(std::span<const Signature* const> documents, double threshold) {
  TW_CHECK(threshold >= 0.5 && threshold <= 1 && documents.size() < size_t(1) << 31, bug, "near duplicates of {} documents at {}", documents.size(),
           threshold);
  struct Entry {
    uint64_t band;
    int32_t document;
  };
  struct Pair {
    int32_t later, earlier;
  };
  std::vector<Pair> pairs;
  std::vector<Entry> entries(documents.size());
  for (size_t b = 0; b < kBands; ++b) {
    size_t n = 0;
    for (size_t d = 0; d < documents.size(); ++d) {
      const Signature& s = *documents[d];
      uint64_t band = b + 1;
      bool words = false;
      for (size_t r = 0; r < kRows; ++r) band = mix(band * 31 + s[b * kRows + r]), words = words || s[b * kRows + r] != 0;
      if (words) entries[n++] = {band, int32_t(d)};
    }
    std::sort(entries.begin(), entries.begin() + long(n),
              [](const Entry& x, const Entry& y) { return x.band != y.band ? x.band < y.band : x.document < y.document; });
    for (size_t begin = 0, end; begin < n; begin = end) {
      for (end = begin + 1; end < n && entries[end].band == entries[begin].band;) ++end;
      for (size_t j = begin + 1; j < end; ++j)
        for (size_t i = begin; i < j; ++i) {
          if (i == begin + kTried && i + kTried < j) i = j - kTried;
          pairs.push_back({entries[j].document, entries[i].document});
        }
    }
    if (pairs.size() > (size_t(1) << 24) || b + 1 == kBands) {  // the same pairs come in many bands
      std::sort(pairs.begin(), pairs.end(), [](const Pair& x, const Pair& y) { return x.later != y.later ? x.later < y.later : x.earlier < y.earlier; });
      pairs.erase(std::unique(pairs.begin(), pairs.end(), [](const Pair& x, const Pair& y) { return x.later == y.later && x.earlier == y.earlier; }),
                  pairs.end());
    }
  }
  std::vector<NearDuplicate> found(documents.size());
  for (const Pair& p : pairs) {  // in the order of the later, then of the earlier document
    NearDuplicate& later = found[size_t(p.later)];
    if (later.of >= 0 || found[size_t(p.earlier)].of >= 0) continue;
    const double s = similarity(*documents[size_t(p.later)], *documents[size_t(p.earlier)]);
    if (s >= threshold) later = {p.earlier, float(s)};
  }
  return found;
}

}  // namespace tw
