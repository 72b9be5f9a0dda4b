// TensorBoard event files, written natively: TFRecord frames around hand-encoded Event messages.
// Frame: u64 length, u32 masked CRC32C of it, data, u32 masked CRC32C of the data
// (tensorflow/core/lib/io/record_writer.h).
#pragma once
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "src/core/file.h"

namespace tw {

// One process writes. After it is open nothing throws: records that cannot be written are counted.
class TensorBoardWriter {
 public:
  // A new events.out.tfevents.* file in `folder`. A reader forgets earlier events of steps beyond `resume_step`.
  // Error(cannot_create) or Error(io).
  TensorBoardWriter(const std::filesystem::path& folder, int64_t resume_step);
  // One event with these scalars. Values that are not finite are written as they are.
  void scalars(int64_t step, double unix_time,
               std::initializer_list<std::pair<std::string_view, float>> values) noexcept;
  void flush() noexcept;
  int64_t lost_records() const noexcept { return lost_; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  bool append(std::string_view event);
  std::filesystem::path path_;
  FileDescriptor file_;
  int64_t size_ = 0;
  int64_t lost_ = 0;
};

uint32_t masked_crc32c(std::string_view bytes) noexcept;

}  // namespace tw
