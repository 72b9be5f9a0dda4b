#include "src/data/scan.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>
#include <unordered_map>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/thread_team.h"
#include "src/core/utf8.h"
#include "src/data/formats/format.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kReasonsShown = 5;
constexpr size_t kLicenceLine = 100;  // bytes kept of a licence's first line

std::string printable_name(const fs::path& path) { return repaired_utf8(path.string()); }

bool is_licence_name(const fs::path& path) {
  std::string stem = path.stem().string();
  for (char& c : stem) c = char(std::tolower(static_cast<unsigned char>(c)));
  const std::string extension = path.extension().string();
  const bool text = extension.empty() || extension == ".txt" || extension == ".md";
  return text && (stem == "license" || stem == "licence" || stem == "copying" || stem == "copyright");
}

int64_t mtime_ns(const struct stat& s) { return int64_t(s.st_mtim.tv_sec) * 1000000000 + s.st_mtim.tv_nsec; }

// A file that is to be read, and where its entry goes.
struct Candidate {
  size_t entry;
  fs::path path;
};

class Walk {
 public:
  Walk(const fs::path& root, const ScanOptions& options) : root_(root) {
    std::error_code error;
    for (const fs::path& p : options.leave_out) left_out_.push_back(fs::weakly_canonical(p, error));
    folders_.push_back(root);
    while (!folders_.empty()) {
      const fs::path folder = std::move(folders_.back());
      folders_.pop_back();
      visit(folder);
    }
    std::sort(files_.begin(), files_.end(), [](const Found& a, const Found& b) {
      return std::tie(a.file.path, a.path) < std::tie(b.file.path, b.path);  // names that are not UTF-8 may look the same
    });
  }
  struct Found {
    ScannedFile file;
    fs::path path;  // absolute
  };
  std::vector<Found>& files() noexcept { return files_; }
  const std::map<fs::path, std::string>& licences() const noexcept { return licences_; }

 private:
  void visit(const fs::path& folder) {
    std::error_code error;
    fs::directory_iterator entries(folder, error);
    if (error) return add(folder, FileState::broken, "the folder cannot be read: " + error.message());
    for (; entries != fs::directory_iterator(); entries.increment(error)) {
      const fs::directory_entry entry = *entries;
      const fs::path& path = entry.path();
      if (path.filename().string().starts_with(".")) continue;
      if (std::find(left_out_.begin(), left_out_.end(), path) != left_out_.end()) continue;
      const fs::file_status own = entry.symlink_status(error);
      if (error) {
        add(path, FileState::broken, "cannot be read: " + error.message());
      } else if (fs::is_symlink(own)) {
        visit_link(path);
      } else if (fs::is_directory(own)) {
        folders_.push_back(path);
      } else if (fs::is_regular_file(own)) {
        add_file(path);
      } else {
        add(path, FileState::skipped, "no regular file");
      }
    }
    if (error) add(folder, FileState::broken, "the folder cannot be read to its end: " + error.message());
  }
  void visit_link(const fs::path& path) {
    std::error_code error;
    const fs::path target = fs::canonical(path, error);
    if (error) return add(path, FileState::skipped, "link: " + error.message());
    if (fs::is_directory(target, error)) return add(path, FileState::skipped, "link to a folder, not followed");
    const std::string inside = (root_ / "").string();
    if (!target.string().starts_with(inside)) return add(path, FileState::skipped, "link that leaves the folder, not followed");
    if (!fs::is_regular_file(target, error)) return add(path, FileState::skipped, "link to no regular file");
    add_file(path);
  }
  void add_file(const fs::path& path) {
    if (is_licence_name(path)) {
      licences_[path.parent_path()] = licence_line(path);
      return add(path, FileState::skipped, "licence text");
    }
    struct stat s {};
    if (::stat(path.c_str(), &s) != 0) return add(path, FileState::broken, std::string("cannot be read: ") + std::strerror(errno));
    ScannedFile file;
    file.path = printable_name(path.lexically_relative(root_));
    file.bytes = s.st_size;
    file.mtime_ns = mtime_ns(s);
    const Format* format = find_format(path);
    file.kind = format ? std::string(format->kind) : printable_name(path.extension());
    if (!format) file.reason = "this kind is not read";
    if (format && !is_utf8(path.lexically_relative(root_).string())) {
      file.state = FileState::broken;
      file.reason = "its name is not UTF-8: rename it";
    } else if (format) {
      file.state = FileState::used;  // until its content says otherwise
    }
    files_.push_back({std::move(file), path});
  }
  void add(const fs::path& path, FileState state, std::string reason) {
    ScannedFile file;
    file.path = printable_name(path.lexically_relative(root_));
    file.state = state;
    file.reason = std::move(reason);
    file.kind = state == FileState::broken ? "" : printable_name(path.extension());
    std::error_code error;
    if (const auto size = fs::file_size(path, error); !error) file.bytes = int64_t(size);
    files_.push_back({std::move(file), path});
  }
  std::string licence_line(const fs::path& path) const {
    std::string line;
    try {
      const Encoding encoding = inspect_bytes(path).encoding;
      FileBytes file(path);
      TextReader reader(file, encoding);
      std::string text;
      if (reader.next(text)) {
        const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
        line = text.substr(begin, std::min(text.find_first_of("\r\n", begin) - begin, kLicenceLine));
        while (!line.empty() && !is_utf8(line)) line.pop_back();  // a character cut in two
      }
    } catch (const Error&) {  // then its name alone
    }
    return printable_name(path.lexically_relative(root_)) + (line.empty() ? "" : ": " + line);
  }

  fs::path root_;
  std::vector<fs::path> left_out_;
  std::vector<fs::path> folders_;  // still to be visited
  std::vector<Found> files_;
  std::map<fs::path, std::string> licences_;  // by folder
};

class Measure final : public DocumentSink {
 public:
  void text(std::string_view piece) override {
    bytes += int64_t(piece.size());
    any = any || piece.find_first_not_of(" \t\r\n") != piece.npos;
  }
  int64_t bytes = 0;
  bool any = false;  // other than white space
};

// Reads the file and fills in what it is. Never throws for what is wrong with the file.
void read_content(ScannedFile& file, const fs::path& path) {
  const auto broken = [&](std::string why) {
    file.state = FileState::broken;
    file.reason = std::move(why);
  };
  try {
    const Format& format = *find_format(path);
    FileBytes bytes(path);
    const DocumentReport report = inspect_document(format, bytes);
    file.sha256 = bytes.sha256();
    file.bytes = bytes.bytes();
    if (file.bytes == 0) return broken("empty");
    if (!report.reason.empty()) return broken(report.reason);
    if (report.encoding) file.encoding = name_of(*report.encoding);
    FileBytes again(path);
    Measure text;
    extract(format, report.encoding, again, text);
    file.text_bytes = text.bytes;
    if (!text.any) return broken("no text inside");
  } catch (const Error& e) {
    broken(e.what());
  }
}

double place(const ScannedFile& file) {  // in [0, 1)
  uint64_t bits = 0;
  std::from_chars(file.sha256.data(), file.sha256.data() + 16, bits, 16);
  return double(bits >> 11) * 0x1p-53;
}

void deal(Inventory& inventory) {
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

std::string nearest_licence(const std::map<fs::path, std::string>& licences, const fs::path& file, const fs::path& root) {
  for (fs::path folder = file.parent_path();; folder = folder.parent_path()) {
    if (const auto found = licences.find(folder); found != licences.end()) return found->second;
    if (folder == root || folder == folder.root_path()) return "";
  }
}

}  // namespace

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

Inventory scan(const fs::path& folder, const ScanOptions& options, const Inventory* previous) {
  std::error_code error;
  const fs::path root = fs::canonical(folder, error);
  TW_CHECK(!error && fs::is_directory(root), no_input, "{} is no folder that can be read{}", folder.string(),
           error ? ": " + error.message() : "");
  TW_CHECK(is_utf8(root.string()), no_input, "the name of {} is not UTF-8: rename the folder", printable_name(root));
  const SplitShares& s = options.shares;
  TW_CHECK(s.train >= 0 && s.val >= 0 && s.test >= 0 && std::fabs(s.train + s.val + s.test - 1) < 1e-6, config,
           "the shares of train, val and test are {}, {}, {}: their sum must be 1", s.train, s.val, s.test);
  Walk walk(root, options);
  Inventory inventory;
  inventory.folder = root;
  inventory.shares = s;
  inventory.scanned_at = unix_seconds();

  std::unordered_map<std::string_view, const ScannedFile*> known;
  if (previous && previous->folder == root)
    for (const ScannedFile& f : previous->files)
      if (!f.sha256.empty()) known.emplace(f.path, &f);
  std::vector<Candidate> to_read;
  ScanProgress progress;
  for (Walk::Found& found : walk.files()) {
    ScannedFile& file = found.file;
    if (file.state == FileState::used) {
      const auto old = known.find(file.path);
      if (old != known.end() && old->second->bytes == file.bytes && old->second->mtime_ns == file.mtime_ns &&
          old->second->kind == file.kind) {
        const ScannedFile& o = *old->second;
        file.sha256 = o.sha256, file.encoding = o.encoding, file.text_bytes = o.text_bytes;
        if (o.state == FileState::broken) file.state = o.state, file.reason = o.reason;
      } else {
        to_read.push_back({inventory.files.size(), found.path});
        progress.total_bytes += file.bytes;
      }
      file.licence = nearest_licence(walk.licences(), found.path, root);
    }
    inventory.files.push_back(std::move(file));
  }
  progress.total_files = int64_t(to_read.size());

  std::mutex mutex;
  std::atomic<bool> stop{false};
  ThreadTeam team(std::max(1, options.threads));
  team.run(int64_t(to_read.size()), [&](int64_t i, int) {
    if (stop) return;
    ScannedFile& file = inventory.files[to_read[size_t(i)].entry];
    const int64_t expected = file.bytes;
    read_content(file, to_read[size_t(i)].path);
    const std::lock_guard lock(mutex);
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

  std::unordered_map<std::string_view, const ScannedFile*> first;
  for (ScannedFile& f : inventory.files) {
    if (f.state != FileState::used) continue;
    const auto [same, fresh] = first.emplace(f.sha256, &f);
    if (fresh) continue;
    f.state = FileState::duplicate;
    f.reason = "the same as " + same->second->path;
  }
  if (first.empty()) {
    std::string reasons;
    size_t shown = 0;
    for (const FileState state : {FileState::broken, FileState::skipped})
      for (const ScannedFile& f : inventory.files)
        if (f.state == state && shown < kReasonsShown && ++shown) reasons += fmt::format("\n  {}: {}", f.path, f.reason);
    if (inventory.files.size() > shown) reasons += fmt::format("\n  and {} more files", inventory.files.size() - shown);
    TW_FAIL(data, "no usable text in {}{}", folder.string(),
            inventory.files.empty() ? ": there are no files (txt, md and html are read)" : reasons);
  }
  deal(inventory);
  return inventory;
}

}  // namespace tw
