#include "src/data/scan.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <unordered_map>

#include "src/codec/kinds.h"
#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/sandbox.h"
#include "src/core/thread_team.h"
#include "src/core/utf8.h"
#include "src/data/captions.h"
#include "src/data/embeds.h"
#include "src/data/folder_walk.h"
#include "src/data/formats/format.h"
#include "src/data/formats/packed.h"
#include "src/data/language.h"
#include "src/data/scan_cache.h"
#include "src/data/text_quality.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kReasonsShown = 5;
constexpr size_t kMostLinks = 1000;  // of a document
constexpr size_t kHead = size_t(4) << 10;  // bytes in which a file says what it is
constexpr size_t kLongestSaid = 200;

// What a file says of itself behind `key`, without the end of the comment or tag it stands in.
std::string said_behind(std::string_view text, std::string_view key) {
  std::string said = line_behind(text, key, 0, kLongestSaid);
  for (const char* end : {"*/", "-->", "\""}) said = said.substr(0, said.find(end));
  while (!said.empty() && (said.back() == ' ' || said.back() == '#')) said.pop_back();
  return said;
}

// Takes the text of a file and finds out what it is.
class Measure final : public DocumentSink {
 public:
  explicit Measure(KnownFile& known) : known_(known) {}
  void text(std::string_view piece) override {
    known_.file.text_bytes += int64_t(piece.size());
    any_ = any_ || piece.find_first_not_of(" \t\r\n") != piece.npos;
    if (head_.size() < kLanguageText) head_ += piece.substr(0, kLanguageText - head_.size());
    personal_.feed(piece);
    signature_.feed(piece);
    quality_.feed(piece);
  }
  void end_document() override {
    personal_.end();
    signature_.feed("\n");
    quality_.feed("\n");
  }
  void embed(std::string_view target, std::string_view said, std::string_view literal) override {
    const std::string path = linked_path(known_.file.path, target);
    auto& links = known_.file.links;
    if (!path.empty() && links.size() < kMostLinks && std::find(links.begin(), links.end(), path) == links.end()) links.push_back(path);
    DocumentSink::embed(target, said, literal);
  }
  void turn(std::string_view role, bool first) override {
    ++known_.file.turns;
    DocumentSink::turn(role, first);
  }
  void note(std::string text) override { known_.file.note += (known_.file.note.empty() ? "" : "; ") + text; }
  void source(std::string text) override { known_.file.source = std::move(text); }
  // False where there was nothing but white space.
  bool finish() {
    ScannedFile& f = known_.file;
    personal_.end();
    f.findings = personal_.counts();
    known_.signature = signature_.finish();
    if (f.kind != "source") f.quality = quality_.finish();
    if (f.kind != "source") f.language = language_of(head_);
    const std::string_view head = std::string_view(head_).substr(0, kHead);
    if (std::string id = said_behind(head, "SPDX-License-Identifier:"); !id.empty()) f.licence = "SPDX: " + id;
    if (head.starts_with("---\n")) {  // front matter
      const std::string_view matter = head.substr(0, std::min(head.find("\n---", 3), head.size()));
      for (const char* key : {"\nsource:", "\nurl:", "\ncanonical_url:"})
        if (f.source.empty()) f.source = said_behind(matter, key);
    }
    return any_;
  }

 private:
  KnownFile& known_;
  bool any_ = false;
  std::string head_;
  PersonalData personal_;
  SignatureBuilder signature_;
  TextQuality quality_;
};

// The same of a codec's kind. Error(data) where nothing of it can be used.
void read_coded(ScannedFile& file, const CodecKind& codec, const fs::path& path) {
  const MappedFile map(path);
  file.bytes = int64_t(map.size());
  file.sha256 = Sha256().update(map.text()).hex();
  TW_CHECK(file.bytes > 0, data, "empty");
  CodecContent content = codec.inspect({map.text(), path});
  if (!content.no_data.empty()) file.state = FileState::skipped, file.reason = std::move(content.no_data);
  file.content = std::move(content.said);
  file.note = std::move(content.note);
}

// Reads the file and fills in what it is. Never throws for what is wrong with the file.
void read_content(KnownFile& known, const fs::path& path) {
  ScannedFile& file = known.file;
  const auto broken = [&](std::string why) {
    if (const std::string name = path.filename().string() + ": "; why.starts_with(name)) why.erase(0, name.size());  // its path is told with it
    file.state = FileState::broken;
    file.reason = std::move(why);
  };
  try {
    if (const CodecKind* codec = codec_kind(file.kind)) return read_coded(file, *codec, path);
    const Format& format = *find_format(path);
    DocumentFile first(path);
    const DocumentReport report = inspect_document(format, first.content());
    file.sha256 = first.file().sha256();
    file.bytes = first.file().bytes();
    if (file.bytes == 0) return broken("empty");
    if (!report.reason.empty()) return broken(report.reason);
    if (report.encoding) file.encoding = name_of(*report.encoding);
    DocumentFile again(path);
    Measure text(known);
    extract(format, report.encoding, again.content(), text);
    if (!text.finish()) return broken("no text inside");
  } catch (const Error& e) {
    broken(e.what());
  }
}

void drop_duplicates(Inventory& inventory) {
  std::unordered_map<std::string_view, const ScannedFile*> first;
  for (ScannedFile& f : inventory.files) {
    if (f.state != FileState::used) continue;
    const auto [same, fresh] = first.emplace(f.sha256, &f);
    if (fresh) continue;
    f.state = FileState::duplicate;
    f.reason = "the same as " + same->second->path;
    f.duplicate_of = same->second->path;
  }
}

std::vector<const CodecKind*> kinds_named(const std::vector<std::string>& names) {
  std::vector<const CodecKind*> kinds;
  for (const std::string& name : names) {
    if (name == "all") return {codec_kinds().begin(), codec_kinds().end()};
    const CodecKind* kind = codec_kind(name);
    std::string known;
    for (const CodecKind* k : codec_kinds()) known += fmt::format("{}, ", k->name);
    TW_CHECK(kind, config, "data.kinds: \"{}\" is no kind beside text: {}or all", name, known);
    kinds.push_back(kind);
  }
  return kinds;
}

// What the user does not want of what could be used. Source code has no language and is no prose.
void filter(Inventory& inventory, const ScanOptions& options) {
  const auto wanted = [&](const std::string& language) {
    return options.languages.empty() || std::find(options.languages.begin(), options.languages.end(), language.empty() ? std::string("unknown") : language) != options.languages.end();
  };
  for (ScannedFile& f : inventory.files) {
    if (f.state != FileState::used || codec_kind(f.kind) || f.kind == "source") continue;
    if (!wanted(f.language)) f.reason = "its language is " + (f.language.empty() ? "unknown" : f.language);
    else if (options.quality && !f.quality.empty()) f.reason = f.quality;
    else continue;
    f.state = FileState::filtered;
  }
}

// signatures: of the files at `places`.
void drop_near_duplicates(Inventory& inventory, const std::vector<size_t>& places, const std::vector<Signature>& signatures, double threshold) {
  std::vector<const Signature*> used;
  std::vector<ScannedFile*> files;
  for (size_t m = 0; m < places.size(); ++m)
    if (ScannedFile& file = inventory.files[places[m]]; file.state == FileState::used && !codec_kind(file.kind)) used.push_back(&signatures[m]), files.push_back(&file);
  const std::vector<NearDuplicate> found = find_near_duplicates(used, threshold);
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i].of < 0) continue;
    const ScannedFile& kept = *files[size_t(found[i].of)];
    files[i]->state = FileState::near_duplicate;
    files[i]->reason = fmt::format("{:.0f} % like {}", 100 * found[i].similarity, kept.path);
    files[i]->duplicate_of = kept.path;
  }
}

}  // namespace

Inventory scan(const fs::path& folder, const ScanOptions& options, ScanCache* cache) {
  std::error_code error;
  const fs::path root = fs::canonical(folder, error);
  TW_CHECK(!error && fs::is_directory(root), no_input, "{} is no folder that can be read{}", folder.string(),
           error ? ": " + error.message() : "");
  TW_CHECK(is_utf8(root.string()), no_input, "the name of {} is not UTF-8: rename the folder", repaired_utf8(root.string()));
  const SplitShares& s = options.shares;
  TW_CHECK(s.train >= 0 && s.val >= 0 && s.test >= 0 && std::fabs(s.train + s.val + s.test - 1) < 1e-6, config,
           "the shares of train, val and test are {}, {}, {}: their sum must be 1", s.train, s.val, s.test);
  TW_CHECK(options.near_duplicates == 0 || (options.near_duplicates >= 0.5 && options.near_duplicates <= 1), config,
           "data.near_duplicates = {} must be 0 or from 0.5 to 1", options.near_duplicates);
  FolderWalk walk = walk_folder(root, options.leave_out, kinds_named(options.kinds));
  Inventory inventory;
  inventory.folder = root;
  inventory.shares = s;
  inventory.near_duplicates = options.near_duplicates;
  inventory.scanned_at = unix_seconds();

  inventory.files = std::move(walk.files);
  inventory.notes = std::move(walk.notes);

  std::vector<size_t> meant;    // places in the inventory of the files that are meant to be read
  std::vector<size_t> to_read;  // places in `meant` of those of which nothing is known
  for (size_t i = 0; i < inventory.files.size(); ++i)
    if (inventory.files[i].state == FileState::used) meant.push_back(i);
  std::vector<Signature> signatures(meant.size());
  ScanProgress progress;
  for (size_t m = 0; m < meant.size(); ++m) {
    ScannedFile& file = inventory.files[meant[m]];
    if (std::optional<KnownFile> before = cache ? cache->take(file) : std::nullopt) {
      file = std::move(before->file);
      signatures[m] = before->signature;
    } else {
      to_read.push_back(m);
      progress.total_bytes += file.bytes;
    }
  }
  progress.total_files = int64_t(to_read.size());

  const SandboxReuse reuse;
  std::mutex mutex;
  std::atomic<bool> stop{false};
  ThreadTeam team(std::max(1, options.threads));
  team.run(int64_t(to_read.size()), [&](int64_t i, int) {
    if (stop) return;
    const size_t m = to_read[size_t(i)];
    ScannedFile& file = inventory.files[meant[m]];
    const int64_t expected = file.bytes;
    KnownFile k{.file = file};
    read_content(k, root / file.path);
    const std::lock_guard lock(mutex);
    if (cache && !k.file.sha256.empty()) cache->add(k);
    file = std::move(k.file);
    signatures[m] = k.signature;
    ++progress.files;
    progress.bytes += expected;
    if (!options.progress || stop) return;
    try {
      options.progress(progress);
    } catch (...) {
      stop = true;
      throw;
    }
  });

  if (cache) cache->keep(meant.size(), [&](size_t m) { return KnownFile{inventory.files[meant[m]], signatures[m]}; });
  for (const size_t place : meant) {
    ScannedFile& file = inventory.files[place];
    if (file.state == FileState::skipped) file.sha256.clear();  // it decides no tokens
    const FoundLicence* nearest = walk.nearest_licence(root / file.path, root);
    if (!nearest) continue;
    if (file.licence.empty()) file.licence = nearest->licence;
    if (file.source.empty()) file.source = nearest->source;
  }
  add_captions(inventory);
  drop_duplicates(inventory);
  filter(inventory, options);
  if (options.near_duplicates > 0) drop_near_duplicates(inventory, meant, signatures, options.near_duplicates);
  if (inventory.sum(FileState::used).files == 0) {
    std::string reasons;
    size_t shown = 0;
    for (const FileState state : {FileState::broken, FileState::filtered, FileState::skipped})
      for (const ScannedFile& f : inventory.files)
        if (f.state == state && shown < kReasonsShown && ++shown) reasons += fmt::format("\n  {}: {}", f.path, f.reason);
    if (inventory.files.size() > shown) reasons += fmt::format("\n  and {} more files", inventory.files.size() - shown);
    TW_FAIL(data, "nothing usable in {}{}", folder.string(),
            inventory.files.empty() ? ": there are no files" : reasons);
  }
  place_embeds(inventory);
  deal_splits(inventory);
  return inventory;
}

}  // namespace tw
