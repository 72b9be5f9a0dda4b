#include "src/data/folder_walk.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/utf8.h"
#include "src/data/formats/format.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kLicenceLine = 100;               // bytes kept of a licence's first line
constexpr size_t kLicenceText = size_t(64) << 10;  // bytes read of it

// Data that no library of the platform reads (Debian 12 has none for Parquet and Arrow), and what to do about it.
struct Unread {
  std::string_view ending, said;
};
constexpr Unread kUnread[] = {{".parquet", "Parquet is not read: write it as CSV, for example by duckdb -c \"COPY 'a.parquet' TO 'a.csv'\""},
                              {".feather", "Arrow is not read: write it as CSV"},
                              {".arrow", "Arrow is not read: write it as CSV"}};

std::string printable_name(const fs::path& path) { return repaired_utf8(path.string()); }

std::string first_line(std::string_view text, size_t most) {
  std::string line(text.substr(0, std::min(text.find_first_of("\r\n"), most)));
  while (!line.empty() && (line.back() == ' ' || !is_utf8(line))) line.pop_back();  // a character cut in two
  return line;
}

bool is_licence_name(const fs::path& path) {
  const std::string stem = ascii_lower(path.stem().string());
  const std::string extension = path.extension().string();
  const bool text = extension.empty() || extension == ".txt" || extension == ".md";
  return text && (stem == "license" || stem == "licence" || stem == "copying" || stem == "copyright");
}

int64_t mtime_ns(const struct stat& s) { return int64_t(s.st_mtim.tv_sec) * 1000000000 + s.st_mtim.tv_nsec; }

class Walk {
 public:
  Walk(const fs::path& root, const std::vector<fs::path>& leave_out, std::span<const CodecKind* const> kinds, FolderWalk& out)
      : root_(root), kinds_(kinds), out_(out) {
    std::error_code error;
    for (const fs::path& p : leave_out) left_out_.push_back(fs::weakly_canonical(p, error));
    folders_.push_back(root);
    while (!folders_.empty()) {
      const fs::path folder = std::move(folders_.back());
      folders_.pop_back();
      visit(folder);
    }
    std::sort(out_.files.begin(), out_.files.end(), [](const ScannedFile& a, const ScannedFile& b) {
      return std::tie(a.path, a.bytes, a.mtime_ns) < std::tie(b.path, b.bytes, b.mtime_ns);  // names that are not UTF-8 may look the same
    });
    for (const auto& [said, files] : unread_) out_.notes.push_back(fmt::format("{}{}: {}", files.first, files.second > 1 ? fmt::format(" and {} more", files.second - 1) : "", said));
  }

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
      out_.licences[path.parent_path()] = read_licence(path);
      return add(path, FileState::skipped, "licence text");
    }
    struct stat s {};
    if (::stat(path.c_str(), &s) != 0) return add(path, FileState::broken, std::string("cannot be read: ") + std::strerror(errno));
    ScannedFile file;
    file.path = printable_name(path.lexically_relative(root_));
    file.bytes = s.st_size;
    file.mtime_ns = mtime_ns(s);
    const Format* format = find_format(path);
    const CodecKind* codec = codec_kind_of(path);
    if (std::find(kinds_.begin(), kinds_.end(), codec) == kinds_.end()) codec = nullptr;
    file.kind = codec ? std::string(codec->name) : format ? std::string(format->kind) : printable_name(path.extension());
    if (!format && !codec) {
      const CodecKind* with = codec_kind_with(path);
      file.reason = with ? "read with files of the kind " + std::string(with->name) : "this kind is not read";
      if (with) try {
          file.sha256 = Sha256().update(MappedFile(path).text()).hex();  // it decides tokens as well
        } catch (const Error& e) {
          file.state = FileState::broken, file.reason = e.what();
        }
      for (const Unread& unread : kUnread)
        if (ascii_lower(file.path).ends_with(unread.ending)) {
          file.reason = unread.said;
          if (auto& [first, count] = unread_[unread.said]; ++count == 1 || file.path < first) first = file.path;
        }
    }
    if ((format || codec) && !is_utf8(path.lexically_relative(root_).string())) {
      file.state = FileState::broken;
      file.reason = "its name is not UTF-8: rename it";
    } else if (format || codec) {
      file.state = FileState::used;  // until its content says otherwise
    }
    out_.files.push_back(std::move(file));
  }
  void add(const fs::path& path, FileState state, std::string reason) {
    ScannedFile file;
    file.path = printable_name(path.lexically_relative(root_));
    file.state = state;
    file.reason = std::move(reason);
    file.kind = state == FileState::broken ? "" : printable_name(path.extension());
    std::error_code error;
    if (const auto size = fs::file_size(path, error); !error) file.bytes = int64_t(size);
    out_.files.push_back(std::move(file));
  }
  FoundLicence read_licence(const fs::path& path) const {
    const std::string name = printable_name(path.lexically_relative(root_));
    std::string text;
    try {
      const Encoding encoding = inspect_bytes(path).encoding;
      FileBytes file(path);
      TextReader reader(file, encoding, kLicenceText);
      reader.next(text);
    } catch (const Error&) {  // then its name alone
    }
    if (text.starts_with("Format:")) {
      const std::string licence = line_behind(text, "\nLicense:", std::max<size_t>(1, text.find("\nFiles: *")) - 1),
                        source = line_behind(text, "\nSource:");
      if (!licence.empty()) return {name + ": " + licence, source};
    }
    const size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
    const std::string line = first_line(std::string_view(text).substr(begin), kLicenceLine);
    return {name + (line.empty() ? "" : ": " + line), ""};
  }

  fs::path root_;
  std::span<const CodecKind* const> kinds_;
  std::vector<fs::path> left_out_;
  std::vector<fs::path> folders_;  // still to be visited
  std::map<std::string_view, std::pair<std::string, int64_t>> unread_;  // by what is said of them: the first, how many
  FolderWalk& out_;
};

}  // namespace

std::string line_behind(std::string_view text, std::string_view key, size_t from, size_t most) {
  const size_t at = text.find(key, from);
  if (at == text.npos) return "";
  const size_t begin = text.find_first_not_of(" \t", at + key.size());
  return begin == text.npos ? "" : first_line(text.substr(begin), most);
}

const FoundLicence* FolderWalk::nearest_licence(const fs::path& file, const fs::path& root) const {
  for (fs::path folder = file.parent_path();; folder = folder.parent_path()) {
    if (const auto found = licences.find(folder); found != licences.end()) return &found->second;
    if (folder == root || folder == folder.root_path()) return nullptr;
  }
}

FolderWalk walk_folder(const fs::path& root, const std::vector<fs::path>& leave_out, std::span<const CodecKind* const> kinds) {
  FolderWalk found;
  const Walk walk(root, leave_out, kinds, found);
  return found;
}

}  // namespace tw
