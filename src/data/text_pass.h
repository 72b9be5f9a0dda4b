// Goes through the text of scanned files: short ones side by side, long ones in parts.
#pragma once
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "src/core/thread_team.h"
#include "src/data/document_text.h"
#include "src/data/scan.h"

namespace tw {

// What is done with the text of files.
struct TextWork {
  std::function<void(size_t slot, std::string_view text)> part;  // on any thread; what it makes is kept in the slot
  // The same, where a turn of a conversation begins; `within`: the slot begins within it. {} = turns are divided by an empty line.
  std::function<void(size_t slot, const std::string& role, bool within)> turn;
  std::function<void(size_t slot, const ScannedFile& file)> embed;  // the same, where a file of a codec's kind stands; {} = it is passed over
  std::function<void(size_t slot)> document_end;                 // the same, between two documents of a file
  std::function<void(size_t slot)> collect;                      // takes it, in the order of the text
  std::function<void(const ScannedFile& file, int64_t text_bytes)> end;
};

// Files that turned out to be other than they were scanned, each named once.
class LeftOutFiles {
 public:
  bool contains(const ScannedFile* file) const { return files_.contains(file); }
  void add(const ScannedFile& file, const std::string& reason) {
    if (files_.insert(&file).second) said_.push_back(file.path + ": " + reason);
  }
  const std::vector<std::string>& said() const noexcept { return said_; }

 private:
  std::set<const ScannedFile*> files_;
  std::vector<std::string> said_;
};

class TextPass {
 public:
  static constexpr size_t kSlots = 4096;              // at most, that are in work at once
  static constexpr int64_t kLong = int64_t(4) << 20;  // bytes of a file that is read in parts
  struct Options {
    std::function<const ScannedFile*(const ScannedFile& document, const std::string& path)> part_of;  // the file that stands in a document; nullptr = none
    std::function<void(int64_t files, int64_t bytes)> progress;                                         // done so far
  };
  // All outlive it.
  TextPass(const Inventory& inventory, const PersonalMask& mask, ThreadTeam& team, LeftOutFiles& left_out, Options options)
      : inventory_(inventory), mask_(mask), team_(team), left_out_(left_out), options_(std::move(options)) {}
  // The files in their order. Those that changed since the scan, or cannot be read, are left out; Error(data) where one changes while it is read in parts.
  void read(std::span<const ScannedFile* const> files, Cuts cuts, const TextWork& work);

 private:
  void read_group(std::span<const ScannedFile* const> group, const TextWork& work);
  void read_long(const ScannedFile& file, Cuts cuts, const TextWork& work);
  const Inventory& inventory_;
  const PersonalMask& mask_;
  ThreadTeam& team_;
  LeftOutFiles& left_out_;
  Options options_;
  int64_t files_ = 0, bytes_ = 0;  // done
};

inline constexpr const char* kChangedSinceScan = "changed since the scan, left out until the folder is scanned again";

}  // namespace tw
