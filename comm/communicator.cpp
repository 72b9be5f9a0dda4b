#include "comm/communicator.h"

#include <algorithm>
#include <cstring>

namespace tw {
namespace {

const Stream& host_stream() {
  static const Stream stream(Device{}, nullptr);
  return stream;
}

template <class T>
View bytes_of(T* data, size_t count) {
  return {data, DType::u8, {int64_t(count)}};
}

// A round of all_gather_text moves at most this many bytes of each rank, so that one long text
// does not cost its length times the number of ranks in memory.
constexpr int64_t kTextBlock = 64 << 10;

}  // namespace

std::string broadcast_text(Communicator& comm, std::string text, int root) {
  int64_t length = int64_t(text.size());
  comm.broadcast({&length, DType::i64, {1}}, root, host_stream());
  text.resize(size_t(length));
  if (length > 0) comm.broadcast(bytes_of(text.data(), text.size()), root, host_stream());
  return text;
}

std::vector<std::string> all_gather_text(Communicator& comm, const std::string& text) {
  const size_t ranks = size_t(comm.size());
  const int64_t length = int64_t(text.size());
  std::vector<int64_t> lengths(ranks);
  comm.all_gather({&length, DType::i64, {1}}, {lengths.data(), DType::i64, {int64_t(ranks)}}, host_stream());
  const int64_t longest = *std::max_element(lengths.begin(), lengths.end());

  std::vector<std::string> texts(ranks);
  const int64_t block = std::min(longest, kTextBlock);
  std::vector<char> own(static_cast<size_t>(block)), all(size_t(block) * ranks);
  for (int64_t begin = 0; begin < longest; begin += block) {
    const auto taken = [&](int64_t of) { return size_t(std::clamp<int64_t>(of - begin, 0, block)); };
    if (taken(length) > 0) std::memcpy(own.data(), text.data() + begin, taken(length));
    comm.all_gather(bytes_of(own.data(), own.size()), bytes_of(all.data(), all.size()), host_stream());
    for (size_t r = 0; r < ranks; ++r) texts[r].append(all.data() + r * size_t(block), taken(lengths[r]));
  }
  return texts;
}

double all_reduce_value(Communicator& comm, double value, ReduceOp op) {
  comm.all_reduce({&value, DType::fp64, {1}}, op, host_stream());
  return value;
}

int64_t all_reduce_value(Communicator& comm, int64_t value, ReduceOp op) {
  comm.all_reduce({&value, DType::i64, {1}}, op, host_stream());
  return value;
}

}  // namespace tw
