// Which split a file goes to.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "src/core/error.h"
#include "src/data/scan.h"

namespace tw {
namespace {

double place(const ScannedFile& file) {  // in [0, 1)
  uint64_t bits = 0;
  std::from_chars(file.sha256.data(), file.sha256.data() + 16, bits, 16);
  return double(bits >> 11) * 0x1p-53;
}

}  // namespace

void deal_splits(Inventory& inventory) {
  std::vector<ScannedFile*> used;
  for (ScannedFile& f : inventory.files)
    if (f.state == FileState::used) used.push_back(&f);
  const SplitShares& s = inventory.shares;
  if (used.size() < 3 && s.train > 0) {
    for (ScannedFile* f : used) f->split = Split::train;
    if (s.val + s.test > 0)
      inventory.notes.push_back(fmt::format("{} usable {}: all is trained on, nothing is held out", used.size(),
                                            used.size() == 1 ? "file" : "files"));
    return;
  }
  const double low[3] = {0, s.train, s.train + s.val}, high[3] = {s.train, s.train + s.val, 1};
  size_t count[3] = {0, 0, 0};
  for (ScannedFile* f : used) {
    const double at = place(*f);
    f->split = at < high[0] ? Split::train : at < high[1] || s.test <= 0 ? Split::val : Split::test;
    if (f->split == Split::val && s.val <= 0) f->split = s.test > 0 ? Split::test : Split::train;
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
      const double at = place(*f), d = at < low[poor] ? low[poor] - at : std::max(0.0, at - high[poor]);
      if (d < distance) nearest = f, distance = d;
    }
    nearest->split = Split(poor);
    --count[rich], ++count[poor];
    inventory.notes.push_back(fmt::format("{} would have been empty: it was given {}", name_of(Split(poor)), nearest->path));
  }
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
