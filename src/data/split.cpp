// Which split a file goes to.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "src/codec/kinds.h"
#include "src/core/error.h"
#include "src/data/scan.h"

namespace tw {
namespace {

double place_of(uint64_t bits) { return double(bits >> 11) * 0x1p-53; }  // in [0, 1)

uint64_t bits_of(const ScannedFile& file) {
  uint64_t bits = 0;
  std::from_chars(file.sha256.data(), file.sha256.data() + 16, bits, 16);
  return bits;
}

// The files of one kind. `what`: for notes.
void deal(Inventory& inventory, const std::vector<ScannedFile*>& used, const CodecKind* kind) {
  const SplitShares& s = inventory.shares;
  const std::string what = kind ? std::string(kind->name) + " " : "";
  if (used.size() < 3 && s.train > 0) {
    for (ScannedFile* f : used) f->split = Split::train, f->dealt_inside = kind && kind->several && s.val + s.test > 0;
    if (s.val + s.test > 0)
      inventory.notes.push_back(fmt::format("{} usable {}{}: {}", used.size(), what, used.size() == 1 ? "file" : "files",
                                            kind && kind->several ? "the documents inside are dealt to the splits" : "all is trained on, nothing is held out"));
    return;
  }
  const double low[3] = {0, s.train, s.train + s.val}, high[3] = {s.train, s.train + s.val, 1};
  size_t count[3] = {0, 0, 0};
  for (ScannedFile* f : used) {
    f->split = split_at(s, bits_of(*f));
    f->dealt_inside = false;
    ++count[size_t(f->split)];
  }
  const double share[3] = {s.train, s.val, s.test};
  for (size_t poor = 0; poor < 3 && used.size() >= 3; ++poor) {
    if (share[poor] <= 0 || count[poor] > 0) continue;
    const size_t rich = size_t(std::max_element(count, count + 3) - count);
    ScannedFile* nearest = nullptr;
    double distance = 2;
    for (ScannedFile* f : used) {
      if (size_t(f->split) != rich) continue;
      const double at = place_of(bits_of(*f)), d = at < low[poor] ? low[poor] - at : std::max(0.0, at - high[poor]);
      if (d < distance) nearest = f, distance = d;
    }
    nearest->split = Split(poor);
    --count[rich], ++count[poor];
    inventory.notes.push_back(fmt::format("{} would have been empty{}: it was given {}", name_of(Split(poor)), kind ? " of " + std::string(kind->name) : "", nearest->path));
  }
}

}  // namespace

Split split_at(const SplitShares& s, uint64_t bits) noexcept {
  const double at = place_of(bits);
  const Split split = at < s.train ? Split::train : at < s.train + s.val || s.test <= 0 ? Split::val : Split::test;
  return split == Split::val && s.val <= 0 ? (s.test > 0 ? Split::test : Split::train) : split;
}

void deal_splits(Inventory& inventory) {
  const auto of = [&](const CodecKind* kind) {
    std::vector<ScannedFile*> used;
    for (ScannedFile& f : inventory.files)
      if (f.state == FileState::used && codec_kind(f.kind) == kind && f.part_of.empty()) used.push_back(&f);
    return used;
  };
  if (const auto texts = of(nullptr); !texts.empty()) deal(inventory, texts, nullptr);
  for (const CodecKind* kind : codec_kinds())
    if (const auto files = of(kind); !files.empty()) deal(inventory, files, kind);
  // What stands in a document goes where that one goes.
  std::map<std::string_view, Split> split_of;
  for (const ScannedFile& f : inventory.files)
    if (f.state == FileState::used && f.part_of.empty()) split_of[f.path] = f.split;
  for (ScannedFile& f : inventory.files)
    if (f.state == FileState::used && !f.part_of.empty()) f.split = split_of[f.part_of], f.dealt_inside = false;
}

SplitShares parse_split(std::string_view text) {
  double share[3] = {-1, -1, -1};
  const char *at = text.data(), *const end = at + text.size();
  bool good = true;
  for (int i = 0; i < 3 && good; ++i) {
    if (i > 0) good = at != end && *at++ == ',';
    while (at != end && *at == ' ') ++at;
    const auto [next, error] = std::from_chars(at, end, share[i]);
    good = good && error == std::errc() && share[i] >= 0 && share[i] <= 1;
    at = next;
  }
  good = good && at == end && std::fabs(share[0] + share[1] + share[2] - 1) < 1e-6;
  TW_CHECK(good, config, "data.split = \"{}\" must be three shares whose sum is 1, for example \"0.9,0.05,0.05\"", text);
  return {share[0], share[1], share[2]};
}

}  // namespace tw
