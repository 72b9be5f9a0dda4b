// What is known of the files of a folder: a scan that was stopped, or that comes again, reads only what is new.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

#include "src/core/file.h"
#include "src/data/near_duplicates.h"
#include "src/data/scan.h"

namespace tw {

struct KnownFile {
  ScannedFile file;      // state used, broken or, where it is no data (CodecContent), skipped; licence and source are what the file itself says
  Signature signature{};
};

// A file of records, each with its XXH3. It is added to while the folder is read, so a program that is killed loses the
// last of them; damaged records and what follows them are left out.
class ScanCache {
 public:
  // A missing or foreign file, or one of another folder or version, is begun anew. Error(cannot_create), Error(io).
  ScanCache(const std::filesystem::path& path, const std::filesystem::path& folder);
  ~ScanCache();  // writes what is still to be written
  ScanCache(const ScanCache&) = delete;
  ScanCache& operator=(const ScanCache&) = delete;
  // What is known of a file of this size, time and kind, once; none = it is to be read.
  std::optional<KnownFile> take(const ScannedFile& file);
  void add(const KnownFile& known);  // not from several threads at once
  void flush();
  // Where more than half of the file's records are of no use any more, writes it anew with these alone.
  void keep(size_t files, const std::function<KnownFile(size_t)>& file);

 private:
  struct Record {  // in the file
    int64_t at = 0, bytes = 0;
  };
  std::filesystem::path path_, folder_;
  std::unordered_map<uint64_t, Record> known_;  // by the XXH3 of the path
  FileDescriptor fd_;
  int64_t at_ = 0;
  size_t records_ = 0;  // in the file
  std::string waiting_;
};

}  // namespace tw
