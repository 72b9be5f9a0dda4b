#include "tests/storm/disk_model.h"

#include <algorithm>
#include <array>

#include "src/core/error.h"
#include "src/core/hash.h"

namespace tw::storm {
namespace {

constexpr int64_t kPage = 4096;
constexpr uint64_t kRoot = 1;

std::string noise(size_t bytes, std::mt19937_64& random) {
  std::string s(bytes, '\0');
  for (char& c : s) c = char(random());
  return s;
}

}  // namespace

Content::Content(std::string b) : bytes(std::move(b)), hash(Xxh3().update(bytes.data(), bytes.size()).value()) {}

uint64_t hash_of(const DiskState& state) {
  Xxh3 sum;
  for (const auto& [path, content] : state) {
    sum.update(path.c_str(), path.size() + 1);
    const uint64_t h = content ? content->hash : 0;
    sum.update(&h, sizeof h);
  }
  return sum.value();
}

DiskModel::DiskModel(uint64_t root_inode) {
  by_real_[root_inode] = kRoot;
  files_[kRoot].folder = true;
}

DiskModel::Inode DiskModel::find(const std::string& path) const {
  Inode at = kRoot;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const auto entry = live_.find({at, path.substr(begin, end - begin)});
    TW_CHECK(entry != live_.end() && entry->second.target, bug, "the trace names {}, which no call made", path);
    at = entry->second.target;
    begin = end + 1;
  }
  return at;
}

std::pair<DiskModel::Inode, std::string> DiskModel::split(const std::string& path) const {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {kRoot, path};
  return {find(path.substr(0, slash)), path.substr(slash + 1)};
}

// A later call that lasts already is not undone by an earlier one that comes after it.
void DiskModel::set(Names& names, const NameCall& call) {
  for (const Effect& e : call.effects) {
    Entry& entry = names.try_emplace({e.folder, e.name}, Entry{0, 0}).first->second;
    if (call.index >= entry.index) entry = {e.target, call.index};
  }
}

void DiskModel::name_call(std::vector<Effect> effects) {
  pending_.push_back({index_, std::move(effects)});
  set(live_, pending_.back());
}

DiskModel::Inode DiskModel::fresh(uint64_t real, bool folder) {
  const Inode inode = next_++;
  by_real_[real] = inode;
  File& file = files_[inode];
  file.folder = folder;
  if (!folder) file.live = file.durable = std::make_shared<const Content>("");
  return inode;
}

void DiskModel::change(Inode inode, std::string bytes, int64_t begin, int64_t end) {
  File& file = files_.at(inode);
  file.live = std::make_shared<const Content>(std::move(bytes));
  file.pending.emplace_back(begin, end);
}

void DiskModel::apply(const Record& r, bool honoured) {
  ++index_;
  made_.clear();
  const auto known = by_real_.find(r.inode);
  const auto file = [&] {
    TW_CHECK(known != by_real_.end(), bug, "the trace works on {}, which no call made", r.path);
    return known->second;
  };
  switch (r.call) {
    case Call::create: {
      const auto [folder, name] = split(r.path);
      name_call({{folder, name, fresh(r.inode, false)}});
      break;
    }
    case Call::make_folder: {
      const auto [folder, name] = split(r.path);
      name_call({{folder, name, fresh(r.inode, true)}});
      break;
    }
    case Call::write: {
      std::string bytes = files_.at(file()).live->bytes;
      bytes.resize(std::max(bytes.size(), size_t(r.offset + r.length)), '\0');
      bytes.replace(size_t(r.offset), size_t(r.length), r.data);
      change(file(), std::move(bytes), r.offset, r.offset + r.length);
      break;
    }
    case Call::truncate: {
      std::string bytes = files_.at(file()).live->bytes;
      const int64_t before = int64_t(bytes.size());
      bytes.resize(size_t(r.length), '\0');
      change(file(), std::move(bytes), std::min(before, r.length), std::max(before, r.length));
      break;
    }
    case Call::allocate: {
      std::string bytes = files_.at(file()).live->bytes;
      const int64_t before = int64_t(bytes.size()), after = std::max(before, r.offset + r.length);
      bytes.resize(size_t(after), '\0');
      change(file(), std::move(bytes), before, after);
      break;
    }
    case Call::flush: {
      if (!honoured) break;
      File& f = files_.at(file());
      if (!f.folder) {
        f.durable = f.live;
        f.pending.clear();
        break;
      }
      const auto here = [&](const NameCall& c) {
        return std::any_of(c.effects.begin(), c.effects.end(), [&](const Effect& e) { return e.folder == file(); });
      };
      for (const NameCall& c : pending_)
        if (here(c)) set(durable_, c);
      std::erase_if(pending_, here);
      break;
    }
    case Call::rename: {
      const Inode target = find(r.path);
      const auto [from, old_name] = split(r.path);
      const auto [to, new_name] = split(r.other);
      name_call({{from, old_name, 0}, {to, new_name, target}});
      break;
    }
    case Call::link: {
      const auto [folder, name] = split(r.other);
      name_call({{folder, name, find(r.path)}});
      break;
    }
    case Call::unlink:
    case Call::remove_folder: {
      const auto [folder, name] = split(r.path);
      name_call({{folder, name, 0}});
      break;
    }
  }
}

std::shared_ptr<const Content> DiskModel::content(Inode inode, Bytes bytes, std::mt19937_64& random) const {
  const File& f = files_.at(inode);
  if (f.pending.empty() || bytes == Bytes::kept) return f.live;
  if (bytes == Bytes::lost) return f.durable;
  if (bytes == Bytes::some_files) return content(inode, std::array{Bytes::kept, Bytes::lost, Bytes::zero, Bytes::pages}[random() % 4], random);
  std::shared_ptr<const Content>& made = made_[{inode, bytes}];
  if (made && bytes != Bytes::pages) return made;
  std::string out = f.live->bytes;
  const std::string& old = f.durable->bytes;
  // What a place holds whose bytes did not get there.
  const auto missing = [&](int64_t begin, int64_t end, Bytes how) {
    for (int64_t i = begin; i < end; ++i)
      out[size_t(i)] = how == Bytes::lost && i < int64_t(old.size()) ? old[size_t(i)] : '\0';
    if (how == Bytes::noise) out.replace(size_t(begin), size_t(end - begin), noise(size_t(end - begin), random));
  };
  const int64_t size = int64_t(out.size());
  for (auto [begin, end] : f.pending) {
    begin = std::min(begin, size), end = std::min(end, size);
    switch (bytes) {
      case Bytes::zero: missing(begin, end, Bytes::zero); break;
      case Bytes::noise: missing(begin, end, Bytes::noise); break;
      case Bytes::half: missing(begin + (end - begin) / 2, end, Bytes::lost); break;
      default:
        for (int64_t at = begin; at < end; at = (at / kPage + 1) * kPage)
          if (random() % 2) missing(at, std::min(end, (at / kPage + 1) * kPage), random() % 2 ? Bytes::lost : Bytes::noise);
    }
  }
  if (bytes == Bytes::half && out.size() > old.size()) out.resize(old.size() + (out.size() - old.size()) / 2);
  return made = std::make_shared<const Content>(std::move(out));
}

DiskState DiskModel::build(const std::vector<bool>& kept, Bytes bytes, std::mt19937_64& random) const {
  Names names = durable_;
  for (size_t i = 0; i < pending_.size(); ++i)
    if (kept[i]) set(names, pending_[i]);
  DiskState state;
  std::map<Inode, std::shared_ptr<const Content>> contents;  // one for all names of a file
  const std::function<void(Inode, const std::string&)> walk = [&](Inode folder, const std::string& path) {
    for (auto e = names.lower_bound({folder, ""}); e != names.end() && e->first.first == folder; ++e) {
      const Inode target = e->second.target;
      if (!target) continue;
      const std::string here = path.empty() ? e->first.second : path + "/" + e->first.second;
      if (files_.at(target).folder) {
        if (!state.emplace(here, nullptr).second) continue;
        walk(target, here);
      } else {
        auto& c = contents[target];
        if (!c) c = content(target, bytes, random);
        state.emplace(here, c);
      }
    }
  };
  walk(kRoot, "");
  return state;
}

DiskState DiskModel::everything_kept() const {
  std::mt19937_64 unused;
  return build(std::vector<bool>(pending_.size(), true), Bytes::kept, unused);
}

void DiskModel::each_state(std::mt19937_64& random, int draws,
                           const std::function<void(const DiskState&, const std::string&)>& visit) const {
  static const std::pair<Bytes, const char*> kBytes[] = {
      {Bytes::kept, "bytes kept"},        {Bytes::lost, "unflushed bytes lost"}, {Bytes::zero, "unflushed bytes zero"},
      {Bytes::noise, "noise for unflushed bytes"}, {Bytes::half, "torn in half"}, {Bytes::pages, "some pages there"},
      {Bytes::some_files, "some files there"}};
  const size_t n = pending_.size();
  const auto all_bytes = [&](const std::vector<bool>& kept, const std::string& names) {
    for (const auto& [bytes, what] : kBytes) visit(build(kept, bytes, random), names + ", " + what);
  };
  all_bytes(std::vector<bool>(n, true), "all names");
  if (n == 0) return;
  if (n <= 5) {
    for (uint32_t choice = 0; choice + 1 < (1u << n); ++choice) {
      std::vector<bool> kept(n);
      for (size_t i = 0; i < n; ++i) kept[i] = choice >> i & 1;
      all_bytes(kept, fmt::format("names {:0{}b} (last call first)", choice, n));
    }
    return;
  }
  for (size_t cut = 0; cut < n; ++cut) {
    std::vector<bool> kept(n);
    std::fill_n(kept.begin(), cut, true);
    all_bytes(kept, fmt::format("names up to {} of {}", cut, n));
    std::vector<bool> alone(n), missing(n, true);
    alone[cut] = true, missing[cut] = false;
    all_bytes(alone, fmt::format("name call {} of {} alone", cut + 1, n));
    all_bytes(missing, fmt::format("name call {} of {} missing", cut + 1, n));
  }
  for (int d = 0; d < draws; ++d) {
    std::vector<bool> kept(n);
    for (size_t i = 0; i < n; ++i) kept[i] = random() % 2;
    all_bytes(kept, fmt::format("drawn names {}", d + 1));
  }
}

}  // namespace tw::storm
