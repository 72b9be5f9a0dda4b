// The files of a folder, in the order of their paths, and the licences that lie among them.
#pragma once
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/codec/kinds.h"
#include "src/data/scan.h"

namespace tw {

struct FoundLicence {
  std::string licence;  // "LICENSE: MIT License", or "debian/copyright: GPL-2+" where the file has Debian's format (DEP-5)
  std::string source;   // its Source field
};

struct FolderWalk {
  std::vector<ScannedFile> files;                          // by path; used: it is to be read
  std::map<std::filesystem::path, FoundLicence> licences;  // by folder
  std::vector<std::string> notes;                          // of data in formats that are not read: what to do about them
  const FoundLicence* nearest_licence(const std::filesystem::path& file, const std::filesystem::path& root) const;
};
// What stands behind the first `key` at or after `from` on its line, at most `most` bytes of it, whole characters.
std::string line_behind(std::string_view text, std::string_view key, size_t from = 0, size_t most = 100);

// root: canonical. Names that begin with a dot and what is in leave_out are passed over.
// kinds: of codecs, those that are wanted.
FolderWalk walk_folder(const std::filesystem::path& root, const std::vector<std::filesystem::path>& leave_out, std::span<const CodecKind* const> kinds = codec_kinds());

}  // namespace tw
