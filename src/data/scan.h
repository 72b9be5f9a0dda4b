// Reads a folder of documents: what each file is, what of it can be trained on, and which split it goes to.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "src/data/personal_data.h"

namespace tw {

class ScanCache;

enum class Split : uint8_t { train, val, test };
inline constexpr std::array<Split, 3> kSplits = {Split::train, Split::val, Split::test};
const char* name_of(Split split) noexcept;  // "train", "val", "test"

// Shares of the files, each in [0, 1], together 1; the default is that of data.split.
struct SplitShares {
  double train = 0.9, val = 0.05, test = 0.05;
  bool operator==(const SplitShares&) const = default;
};
SplitShares parse_split(std::string_view text);  // "0.9,0.05,0.05"; Error(config) names data.split

enum class FileState : uint8_t {
  used,            // has text, belongs to a split
  duplicate,       // the same bytes as a used file earlier in the list
  near_duplicate,  // nearly the same words as a used file earlier in the list (near_duplicates.h)
  filtered,        // left out by data.languages or data.quality
  skipped,         // not meant to be read: other kind, hidden, licence text, link
  broken           // meant to be read, but has no text we can use
};

struct ScannedFile {
  std::string path;  // relative to the folder, UTF-8; where a name is not UTF-8 (broken), with U+FFFD in it
  FileState state = FileState::skipped;
  std::string reason;  // why it is not used, "" where it is
  std::string kind;    // name of its format; of kinds not read ".png" or ""
  int64_t bytes = 0, mtime_ns = 0;
  // Of files that were read:
  std::string sha256, encoding;  // 64 digits; a name as "UTF-8"
  int64_t text_bytes = 0;        // of the text inside, as UTF-8; 0 of a codec's kind
  int64_t turns = 0;             // of conversations
  std::vector<std::string> links;  // of documents: paths within the folder that its links lead to, each once
  std::string part_of;           // the document it stands in (embeds.h), or whose caption it is (captions.h); "" = it is one itself
  std::string content;           // of a codec's kind: "20000 molecules"
  std::string caption;           // of a codec's kind: words that go with it (captions.h); "" = none
  // What the file says (SPDX-License-Identifier), else the nearest licence file and what it says: "LICENSE: MIT License".
  std::string licence;
  std::string source;        // where the file, or the nearest licence file, says it is from; "" = unknown
  std::string language;      // ISO 639-1, of the beginning; "" = unknown
  std::string duplicate_of;  // path, of both kinds of duplicates
  std::string quality;       // why it does not read like a text (text_quality.h); "" = it does, or is none
  std::string note;          // what a person should know of it though it is used
  PersonalCounts findings{};     // of secrets and personal data, by kind
  Split split = Split::train;    // of used files
  bool dealt_inside = false;     // then its documents go to the splits one by one, by the hash of their ids
};

struct Inventory {
  std::filesystem::path folder;    // absolute
  SplitShares shares;
  double near_duplicates = 0;      // as in ScanOptions
  double scanned_at = 0;           // wall clock, seconds
  std::vector<ScannedFile> files;  // by path
  std::vector<std::string> notes;  // what a person should know about the splits, and about data that is not read

  struct Sum {
    int64_t files = 0, bytes = 0, text_bytes = 0;
  };
  Sum sum(FileState state) const;
  Sum sum(Split split) const;         // of used files
  std::string fingerprint() const;    // SHA-256 of what decides tokens: used files, content, licence, split
  // For people: kinds, languages, splits, findings, problems; of those at most `shown` a kind.
  std::string table(size_t shown = 10) const;
};

struct ScanProgress {
  int64_t files = 0, bytes = 0;              // done
  int64_t total_files = 0, total_bytes = 0;  // to be read
};

struct ScanOptions {
  SplitShares shares;
  double near_duplicates = 0;  // similarity from which on files count as near duplicates, 0.5 to 1; 0 = not looked for
  std::vector<std::string> languages = {};  // ISO 639-1, "unknown" = where it is not certain: documents of others are left out; empty = none are
  bool quality = false;        // leave out what does not read like a text
  std::vector<std::string> kinds = {"all"};  // of codecs that are used: their names, or all
  std::vector<std::filesystem::path> leave_out;  // folders and files that are passed over: the run's own output
  int threads = 1;                               // the result does not depend on it
  std::function<void(const ScanProgress&)> progress;  // after each file, one call at a time
};

// Walks `folder` in the order of the paths, without names that begin with a dot. Links to files inside the folder are
// read; links to folders and links that leave the folder, lead nowhere or in a circle are named and not followed.
// Memory grows with the list of files alone, by about 1.3 KB each, HTML documents (up to 64 MiB each) apart.
//
// Splits: the first 64 bits of a file's SHA-256, as a number in [0, 1), fall into the range of train, val or test, so
// that equal content is in the same split in every scan, whatever else is in the folder. Only in small folders: with
// three or more usable files, a split that has a share but no file gets one from the split that has most (of equals the
// earlier one), namely the file whose hash lies nearest to it; with one or two, train takes all (if it has a share) and
// a note says so. Text and each codec's kind are dealt by themselves; of kinds whose files hold several documents
// (CodecKind::several) one or two files are dealt document by document.
//
// `cache`, of the same folder: files whose size and time did not change since are not read again, and what is read is
// added at once, so that a scan that is stopped goes on there.
// Error(no_input) for a missing folder, Error(config) for shares that are none, Error(data) where nothing is usable.
Inventory scan(const std::filesystem::path& folder, const ScanOptions& options = {}, ScanCache* cache = nullptr);
// Gives each used file its split, as told above.
void deal_splits(Inventory& inventory);
// Where a hash falls.
Split split_at(const SplitShares& shares, uint64_t bits) noexcept;

// JSON, appears whole. Error(cannot_create), Error(io).
void write_inventory(const Inventory& inventory, const std::filesystem::path& path);
// The file may come from anyone: Error(no_input), Error(data) naming file and field.
Inventory read_inventory(const std::filesystem::path& path);

}  // namespace tw
