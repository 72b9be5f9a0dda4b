#include "src/data/file_watch.h"

#include <sys/stat.h>

#include "src/core/bus_error.h"
#include "src/core/error.h"

namespace tw {

bool FileWatch::read(const TokenFile& file, State& state) {
  struct stat s {};
  if (::stat(file.path().c_str(), &s) != 0) return false;
  state = {s.st_dev, s.st_ino, s.st_size, int64_t(s.st_mtim.tv_sec) * 1000000000 + s.st_mtim.tv_nsec};
  return true;
}

FileWatch::FileWatch(std::vector<std::shared_ptr<const TokenFile>> files) : files_(std::move(files)), states_(files_.size()) {
  explain_bus_errors();
  for (size_t f = 0; f < files_.size(); ++f) read(*files_[f], states_[f]);
}

void FileWatch::check() const {
  for (size_t f = 0; f < files_.size(); ++f) {
    const State& then = states_[f];
    State now;
    if (!read(*files_[f], now) || now.device != then.device || now.inode != then.inode) continue;
    TW_CHECK(now.bytes >= then.bytes, data, "{} was cut off while it was in use: of {} bytes, byte {} and what follows are gone", files_[f]->path().string(),
             then.bytes, now.bytes);
    if (now.modified != then.modified) files_[f]->verify();
  }
}

}  // namespace tw
