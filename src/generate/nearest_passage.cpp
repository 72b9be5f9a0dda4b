#include "src/generate/nearest_passage.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "src/core/utf8.h"

namespace tw {
namespace {

constexpr size_t kHashes = size_t(1) << 20;
constexpr size_t kPlacesOfARun = 8;  // of a text that repeats itself; more would only be tried in vain

bool inside_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

uint64_t PassageSearch::run_at(const char* p) noexcept {
  uint64_t run;
  std::memcpy(&run, p, sizeof run);
  return run;
}

PassageSearch::PassageSearch(std::vector<std::string> texts) : texts_(std::move(texts)), filter_(kHashes / 64), first_(kHashes + 1) {
  std::vector<std::pair<uint32_t, Place>> all;
  for (size_t t = 0; t < texts_.size(); ++t) {
    texts_[t].resize(std::min(texts_[t].size(), kLongest));
    for (size_t i = 0; i + kRun <= texts_[t].size(); ++i) {
      const size_t h = hash(run_at(texts_[t].data() + i));
      filter_[h / 64] |= uint64_t(1) << (h % 64);
      all.push_back({uint32_t(h), {uint32_t(t), uint32_t(i)}});
    }
  }
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [h, place] : all) ++first_[h + 1];
  for (size_t h = 0; h < kHashes; ++h) first_[h + 1] += first_[h];
  for (const auto& entry : all) places_.push_back(entry.second);
}

PassageSearch::Reader::Reader(const PassageSearch& search) : search_(search), best_(search.texts_.size()) {
  for (const std::string& text : search.texts_) found_.emplace_back(text.size() < kRun ? 0 : text.size() - kRun + 1);
}

void PassageSearch::Reader::begin_document(int64_t document) {
  document_ = document;
  window_.clear();
  window_at_ = 0;
  looked_ = 0;
}

void PassageSearch::Reader::feed(std::string_view piece) {
  window_ += piece;
  if (window_.size() > 8 * kLongest) look(false);
}

void PassageSearch::Reader::end_document() { look(true); }

// Places whose longest match and surroundings lie in the window, all of them at the end.
void PassageSearch::Reader::look(bool end) {
  const size_t need = end ? kRun : kLongest + kAround;
  size_t i = looked_;
  for (; i + need <= window_.size(); ++i) {
    const char* here = window_.data() + i;
    const size_t h = hash(run_at(here));
    if (!(search_.filter_[h / 64] >> (h % 64) & 1)) continue;
    uint32_t text = ~0u;
    size_t tried = 0;
    for (uint32_t p = search_.first_[h]; p < search_.first_[h + 1]; ++p) {
      const Place place = search_.places_[p];
      const std::string& sample = search_.texts_[place.text];
      if (std::memcmp(here, sample.data() + place.at, kRun) != 0) continue;
      found_[place.text][place.at] = true;
      // A match that goes on from the byte before was measured there.
      if (i > 0 && place.at > 0 && window_[i - 1] == sample[place.at - 1]) continue;
      tried = place.text == text ? tried + 1 : 1;
      text = place.text;
      if (tried > kPlacesOfARun) continue;
      const size_t most = std::min(sample.size() - place.at, window_.size() - i);
      const size_t length = size_t(std::mismatch(here, here + most, sample.data() + place.at).first - here);
      Best& best = best_[place.text];
      if (int64_t(length) <= best.length) continue;
      size_t begin = i - std::min(i, kAround), stop = std::min(window_.size(), i + length + kAround);
      while (begin < i && inside_character(window_[begin])) ++begin;
      while (stop < window_.size() && stop > i + length && inside_character(window_[stop])) --stop;
      best = {document_, window_at_ + int64_t(i), int64_t(length), window_.substr(begin, stop - begin)};
    }
  }
  const size_t drop = i - std::min(i, kAround + 1);
  window_.erase(0, drop);
  window_at_ += int64_t(drop);
  looked_ = i - drop;
}

std::vector<NearestPassage> PassageSearch::result(const std::vector<Reader>& readers) const {
  std::vector<NearestPassage> all(texts_.size());
  for (size_t t = 0; t < texts_.size(); ++t) {
    const Reader::Best* best = nullptr;
    std::vector<bool> found(texts_[t].size() < kRun ? 0 : texts_[t].size() - kRun + 1);
    for (const Reader& reader : readers) {
      const Reader::Best& b = reader.best_[t];
      const auto order = [](const Reader::Best& x) { return std::tuple(-x.length, x.document, x.at); };
      if (b.document >= 0 && (!best || order(b) < order(*best))) best = &b;
      for (size_t i = 0; i < found.size(); ++i) found[i] = found[i] || reader.found_[t][i];
    }
    if (!best) continue;
    all[t] = {best->document, repaired_utf8(best->text), best->length,
              double(std::count(found.begin(), found.end(), true)) / double(found.size())};
  }
  return all;
}

}  // namespace tw
