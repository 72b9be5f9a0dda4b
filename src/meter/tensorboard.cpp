#include "src/meter/tensorboard.h"

#include <bit>
#include <cstring>

#include <unistd.h>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/hash.h"
#include "src/core/host.h"
#include "src/core/log.h"

namespace tw {
namespace {

static_assert(std::endian::native == std::endian::little, "records are written as they lie in memory");

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// Protocol buffers wire format: a key is field << 3 | type; 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes.
void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += char(value | 0x80);
  out += char(value);
}
void put_key(std::string& out, int field, int type) { put_varint(out, uint64_t(field) << 3 | uint64_t(type)); }
void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_key(out, field, 2);
  put_varint(out, bytes.size());
  out += bytes;
}

// tensorflow/core/util/event.proto: double wall_time = 1, int64 step = 2, then one of string file_version = 3,
// Summary summary = 5, SessionLog session_log = 7.
std::string event(double unix_time, int64_t step) {
  std::string out;
  put_key(out, 1, 1);
  put(out, unix_time);
  if (step != 0) {
    put_key(out, 2, 0);
    put_varint(out, uint64_t(step));
  }
  return out;
}

}  // namespace

uint32_t masked_crc32c(std::string_view bytes) noexcept {
  // Rotated and shifted, since the sum of data that holds its own sum says little.
  const uint32_t crc = crc32c(bytes.data(), bytes.size());
  return std::rotr(crc, 15) + 0xa282ead8u;
}

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder, int64_t resume_step) {
  make_folders(folder);
  const double now = unix_seconds();
  // Readers take files in the order of names: ten digits of seconds, then what tells starts within one second apart.
  const std::string base = "events.out.tfevents." + std::to_string(int64_t(now)) + "." + host_name() + "." +
                           std::to_string(::getpid()) + ".";
  std::error_code error;
  int n = 0;
  do path_ = folder / (base + std::to_string(n++));
  while (std::filesystem::exists(path_, error));
  file_ = open_to_write(path_);
  std::string version = event(now, 0);
  put_bytes(version, 3, "brain.Event:2");
  TW_CHECK(append(version), io, "cannot write {}", path_.string());
  // SessionLog{status = START (1)} at a step makes readers drop what older files hold from that step on.
  std::string start = event(now, resume_step + 1);
  put_bytes(start, 7, std::string_view("\x08\x01", 2));
  TW_CHECK(append(start), io, "cannot write {}", path_.string());
}

void TensorBoardWriter::scalars(int64_t step, double unix_time,
                                std::initializer_list<std::pair<std::string_view, float>> values) noexcept {
  try {
    std::string summary;
    for (const auto& [tag, number] : values) {  // Summary.Value: string tag = 1, float simple_value = 2
      std::string value;
      put_bytes(value, 1, tag);
      put_key(value, 2, 5);
      put(value, number);
      put_bytes(summary, 1, value);
    }
    std::string record = event(unix_time, step);
    put_bytes(record, 5, summary);
    append(record);
  } catch (const std::exception&) {
    ++lost_;
  }
}

bool TensorBoardWriter::append(std::string_view data) {
  std::string frame;
  put(frame, uint64_t(data.size()));
  put(frame, masked_crc32c(frame));
  frame += data;
  put(frame, masked_crc32c(data));
  try {
    write_exactly(file_.get(), frame.data(), frame.size(), size_, path_);
    size_ += int64_t(frame.size());
    return true;
  } catch (const Error& e) {
    if (lost_++ == 0) log_warning("{}; training goes on without", e.what());
    [[maybe_unused]] const int shortened = ::ftruncate(file_.get(), off_t(size_));  // readers stop at half a record
    return false;
  }
}

void TensorBoardWriter::flush() noexcept { ::fsync(file_.get()); }

}  // namespace tw
