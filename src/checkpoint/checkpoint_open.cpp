#include <algorithm>
#include <map>

#include "src/checkpoint/checkpoint.h"
#include "src/checkpoint/manifest.h"
#include "src/checkpoint/names.h"
#include "src/checkpoint/retention.h"
#include "src/checkpoint/shard.h"
#include "src/checkpoint/vote.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/log.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

// Checkpoints to try, best first. `chosen`: the path is one checkpoint, so nothing else may stand in for it.
struct Candidates {
  std::vector<fs::path> folders;
  bool chosen = false;
  std::string nothing;  // why there is none
};

fs::path folder_of_checkpoints(const fs::path& path) {
  std::error_code e;
  return list_checkpoints(path).empty() && fs::is_directory(path / "checkpoints", e) ? path / "checkpoints" : path;
}

Candidates find_candidates(const fs::path& path) {
  Candidates c;
  std::error_code e;
  const fs::file_status status = fs::status(path, e);
  TW_CHECK(!e || status.type() == fs::file_type::not_found, io, "cannot look at {}: {}", path.string(), e.message());
  if (!fs::exists(status) && path.filename() == kBestName && fs::is_directory(path.parent_path(), e)) {
    if (const fs::path best = find_best(folder_of_checkpoints(path.parent_path())).path; !best.empty()) {
      c.chosen = true;
      c.folders.push_back(best);
    }
    c.nothing = fmt::format("no checkpoint in {} has a validation loss: set checkpoint.keep_best and eval.interval", path.parent_path().string());
    return c;
  }
  if (!fs::exists(status)) {
    c.nothing = fmt::format("there is no {}", path.string());
    return c;
  }
  TW_CHECK(fs::is_directory(status), no_input, "{} is not a folder of checkpoints", path.string());
  const fs::path clean = path.has_filename() ? path : path.parent_path();  // "a/" is "a"
  if (fs::exists(path / kManifestName, e) || CheckpointName::parse(clean.filename().string())) {
    c.chosen = true;
    c.folders.push_back(path);
    return c;
  }
  const fs::path folder = folder_of_checkpoints(path);
  int unfinished = 0;
  for (const CheckpointFolder& found : list_checkpoints(folder)) {
    if (found.committed) {
      c.folders.push_back(found.path);
    } else {
      ++unfinished;
      if (c.folders.empty())
        log_warning("{} has no {}: it was never finished and is not used", found.path.string(), kManifestName);
    }
  }
  c.nothing = fmt::format("there is no finished checkpoint in {}", folder.string());
  if (unfinished) c.nothing += fmt::format(" ({} unfinished)", unfinished);
  return c;
}

// Files [first, first + every, ...] of a checkpoint; what is wrong with them, one sentence a line.
std::string find_damage(const fs::path& folder, const Manifest& manifest, bool read_data, size_t first, size_t every) {
  std::string text;
  for (size_t i = first; i < manifest.shards.size(); i += every)
    for (const std::string& sentence : verify_stored_file(folder, manifest.shards[i], read_data).sentences)
      text += sentence + "\n";
  return text;
}

// What cannot be used is said, and kept for the last word where nothing can.
class Rejections {
 public:
  void add(const fs::path& folder, std::string why, bool chosen, ExitCode code = ExitCode::data) {
    while (why.ends_with('\n')) why.pop_back();
    for (size_t at = 0; (at = why.find('\n', at)) != std::string::npos;) why.replace(at, 1, "; ");
    const std::string text = fmt::format("checkpoint {} cannot be used: {}", folder.string(), why);
    if (!chosen) log_warning("{}; trying the one before", text);
    names.push_back(folder.filename().string());
    if (count_++ == 0) first_ = text, code_ = chosen ? code : ExitCode::data;
  }
  std::vector<std::string> names;

  [[noreturn]] void give_up() const {
    throw Error(code_, fmt::format("{}{}", first_, count_ > 1 ? fmt::format("; {} older ones cannot be used either", count_ - 1) : ""));
  }

 private:
  std::string first_;
  ExitCode code_ = ExitCode::data;
  int count_ = 0;
};

// "0" and "10" in the order of numbers, so that layers.2 comes before layers.10.
bool natural_less(std::string_view a, std::string_view b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      size_t p = i, q = j;
      while (p < a.size() && digit(a[p])) ++p;
      while (q < b.size() && digit(b[q])) ++q;
      if (p - i != q - j) return p - i < q - j;
      if (const int order = a.substr(i, p - i).compare(b.substr(j, q - j))) return order < 0;
      i = p, j = q;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i, ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

bool tensor_less(const Checkpoint::TensorInfo& a, const Checkpoint::TensorInfo& b) {
  if (a.slot != b.slot) return std::pair(a.slot != "weight", a.slot) < std::pair(b.slot != "weight", b.slot);
  if (natural_less(a.name, b.name) != natural_less(b.name, a.name)) return natural_less(a.name, b.name);
  return a.name < b.name;
}

std::string key_of(const std::string& name, const std::string& slot) { return slot + "/" + name; }

std::vector<Checkpoint::TensorInfo> list_tensors(const Manifest& manifest) {
  std::map<std::string, const StoredPiece*> found;
  for (const StoredFile& shard : manifest.shards)
    for (const StoredPiece& p : shard.pieces) found.emplace(key_of(p.name, p.slot), &p);
  std::vector<Checkpoint::TensorInfo> tensors;
  for (const auto& [key, p] : found) tensors.push_back({p->name, p->slot, p->shape});
  std::sort(tensors.begin(), tensors.end(), tensor_less);
  return tensors;
}

}  // namespace

Checkpoint::Checkpoint(fs::path folder, std::shared_ptr<const Manifest> manifest, std::vector<std::string> passed_over)
    : folder_(std::move(folder)), passed_over_(std::move(passed_over)), manifest_(std::move(manifest)), tensors_(list_tensors(*manifest_)) {
  for (size_t s = 0; s < manifest_->shards.size(); ++s)
    for (const StoredPiece& p : manifest_->shards[s].pieces)
      pieces_.push_back({key_of(p.name, p.slot), p.begin, p.end, p.offset, s});
  std::sort(pieces_.begin(), pieces_.end(),
            [](const Piece& a, const Piece& b) { return std::tie(a.key, a.begin) < std::tie(b.key, b.begin); });
}

const CheckpointInfo& Checkpoint::info() const noexcept { return manifest_->info; }

Checkpoint Checkpoint::open(const fs::path& path, bool verify) {
  const Candidates candidates = find_candidates(path);
  TW_CHECK(!candidates.folders.empty(), no_input, "{}", candidates.nothing);
  Rejections rejections;
  for (const fs::path& folder : candidates.folders) {
    try {
      auto manifest = std::make_shared<const Manifest>(read_manifest(folder));
      const std::string damage = find_damage(folder, *manifest, verify, 0, 1);
      if (damage.empty()) return Checkpoint(folder, std::move(manifest), rejections.names);
      rejections.add(folder, damage, candidates.chosen);
    } catch (const Error& e) {
      rejections.add(folder, e.what(), candidates.chosen, e.code());
    }
  }
  rejections.give_up();
}

std::optional<Checkpoint> Checkpoint::open_newest(const fs::path& folder) {
  if (find_candidates(folder).folders.empty()) return std::nullopt;
  return open(folder);
}

std::optional<Checkpoint> open_checkpoint(const fs::path& path, Communicator& comm) {
  const bool first = comm.rank() == 0;
  Candidates candidates;
  Vote vote;
  if (first)
    vote = cast_vote([&] { return candidates = find_candidates(path), std::to_string(candidates.folders.size()); });
  const size_t count = size_t(std::stoul(decide(comm, vote)));
  Rejections rejections;
  for (size_t i = 0; i < count; ++i) {
    // Folder, '\0', MANIFEST; or "" where rank 0 cannot read it: then all go on to the next.
    std::string found;
    if (first) {
      const fs::path& folder = candidates.folders[i];
      vote = cast_vote([&] { return to_text(read_manifest(folder)); });
      if (vote.ok()) found = folder.string() + '\0' + vote.text;
      else rejections.add(folder, vote.text, candidates.chosen, vote.code);
    }
    found = broadcast_text(comm, std::move(found), 0);
    if (found.empty()) continue;
    const size_t end = found.find('\0');
    const fs::path folder = found.substr(0, end);
    std::shared_ptr<const Manifest> manifest;
    vote = cast_vote([&] {
      manifest = std::make_shared<const Manifest>(parse_manifest(found.substr(end + 1), folder / kManifestName));
      return find_damage(folder, *manifest, true, size_t(comm.rank()), size_t(comm.size()));
    });
    const std::vector<Vote> votes = gather_votes(comm, vote);
    require_all(votes);
    std::string damage;
    for (const Vote& v : votes) damage += v.text;
    if (damage.empty()) return Checkpoint(folder, std::move(manifest), rejections.names);
    if (first) rejections.add(folder, damage, candidates.chosen);
  }
  if (count == 0) return std::nullopt;
  decide(comm, cast_vote([&]() -> std::string { rejections.give_up(); }));
  return std::nullopt;
}

void Checkpoint::read(const std::string& name, const std::string& slot, int64_t begin, int64_t end, View out) const {
  TW_CHECK(0 <= begin && begin <= end && (begin == end || (out.dtype == DType::fp32 && out.device.is_cpu() &&
                                                           out.count() == end - begin)),
           bug, "checkpoint: elements [{}, {}) of {} ({}) cannot be read to {} {}", begin, end, name, slot,
           name_of(out.dtype), out.shape.str());
  if (begin == end) return;
  const std::string key = key_of(name, slot);
  auto piece = std::lower_bound(pieces_.begin(), pieces_.end(), std::pair(key, begin), [](const Piece& p, const auto& x) {
    return p.key != x.first ? p.key < x.first : p.end <= x.second;
  });
  TW_CHECK(std::any_of(tensors_.begin(), tensors_.end(), [&](const auto& t) { return t.name == name && t.slot == slot; }),
           data, "{} has no tensor {} ({})", folder_.string(), name, slot);
  // A MANIFEST that was read covers each tensor exactly once, so the pieces follow each other without a gap.
  for (int64_t at = begin; at < end; ++piece) {
    TW_CHECK(piece != pieces_.end() && piece->key == key, data, "{}: {} ({}) has no element {}", folder_.string(), name,
             slot, at);
    const int64_t stop = std::min(end, piece->end);
    const fs::path path = folder_ / manifest_->shards[piece->shard].file;
    const FileDescriptor fd = open_to_read(path);
    read_exactly(fd.get(), static_cast<float*>(out.data) + (at - begin), size_t(stop - at) * sizeof(float),
                 piece->offset + (at - piece->begin) * int64_t(sizeof(float)), path);
    at = stop;
  }
}

double lowest_validation_loss(const fs::path& folder) {
  const BestCheckpoint best = find_best(folder);
  return best.path.empty() ? std::numeric_limits<double>::infinity() : best.loss;
}

CheckpointReport verify_checkpoint(const fs::path& path, bool read_data) {
  const Candidates candidates = find_candidates(path);
  TW_CHECK(!candidates.folders.empty(), no_input, "{}", candidates.nothing);
  CheckpointReport report;
  report.folder = candidates.folders[0];
  report.verified = read_data;
  const Manifest manifest = read_manifest(report.folder);
  report.info = manifest.info, report.build = manifest.build, report.written = manifest.written;
  report.attempt = manifest.attempt;
  for (const Checkpoint::TensorInfo& t : list_tensors(manifest)) report.tensors.push_back({t.name, t.slot, t.shape});
  std::map<std::string, CheckpointReport::TensorState*> states;
  for (auto& t : report.tensors) states[key_of(t.name, t.slot)] = &t;
  std::vector<const StoredFile*> files;
  for (const StoredFile& shard : manifest.shards) files.push_back(&shard);
  files.push_back(&manifest.view);
  for (const StoredFile* file : files) {
    const FileDamage damage = verify_stored_file(report.folder, *file, read_data);
    report.shards.push_back({file->file, file->bytes, damage.sentences.empty()});
    report.damage.insert(report.damage.end(), damage.sentences.begin(), damage.sentences.end());
    for (const StoredPiece& p : file->pieces) ++states[key_of(p.name, p.slot)]->pieces;
    for (const auto& [name, slot] : damage.tensors) states[key_of(name, slot)]->ok = false;
  }
  return report;
}

}  // namespace tw
