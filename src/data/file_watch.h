// Token files must stay as they are while they are trained on: what was read of one that changes cannot be trusted.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "src/data/token_file.h"

namespace tw {

class FileWatch {
 public:
  // Notes size and time of the files, opened just now; a read of what is cut off later ends the process with exit code 65 (bus_error.h).
  explicit FileWatch(std::vector<std::shared_ptr<const TokenFile>> files);
  // Error(data) where a file was cut off, naming the first byte that is gone, or where its time changed and its checksum too. A file that was
  // removed, or replaced by another under its name, is still what it was to who has it open.
  void check() const;

 private:
  struct State {
    uint64_t device = 0, inode = 0;
    int64_t bytes = 0, modified = 0;  // ns
  };
  static bool read(const TokenFile& file, State& state);
  std::vector<std::shared_ptr<const TokenFile>> files_;
  std::vector<State> states_;
};

}  // namespace tw
