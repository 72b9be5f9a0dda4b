#include "src/train/self_test.h"

#include <bit>
#include <vector>

#include "kernels/checksum.h"
#include "kernels/matmul.h"
#include "kernels/optimizer.h"
#include "src/core/fault.h"
#include "src/core/host.h"
#include "src/core/rng.h"

namespace tw {
namespace {

// Numbers from -8 to 8: a product of two is below 2^7 and a sum of 2^16 such products below 2^24, so fp32 and bf16 lose nothing.
int small_number(uint32_t which, int64_t i) {
  const Rng rng{.seed = 1, .stream = RngStream::test, .a = which, .b = 0x5e1f};
  return int(rng.bits(uint64_t(i)) % 17) - 8;
}

// On the device, in its dtype.
Tensor small_numbers(uint32_t which, int64_t rows, int64_t columns, DType dtype, const Stream& stream) {
  Tensor host({rows, columns}, dtype);
  for (int64_t i = 0; i < rows * columns; ++i) {
    if (dtype == DType::bf16) host.as<bf16>()[i] = bf16(float(small_number(which, i)));
    else host.as<float>()[i] = float(small_number(which, i));
  }
  if (stream.device().is_cpu()) return host;
  Tensor there({rows, columns}, dtype, stream.device());
  copy(host.view(), there.view(), stream);
  synchronize(stream);
  return there;
}

template <class T>
std::vector<T> on_host(ConstView values, const Stream& stream) {
  std::vector<T> host(size_t(values.count()));
  copy(values, {host.data(), values.dtype, values.shape}, stream);
  synchronize(stream);
  return host;
}

bool products_are_right(DType dtype, const Stream& stream) {
  const int64_t M = 96, N = 80, K = 160;
  Tensor a = small_numbers(1, M, K, dtype, stream), b = small_numbers(2, N, K, dtype, stream);
  Tensor out({M, N}, DType::fp32, stream.device());
  matmul({.a = a.view(), .b = b.view(), .out = out.view(), .transpose_b = true}, stream);
  fault_memory("self_test.product", out.view(), stream);
  const std::vector<float> got = on_host<float>(out.view(), stream);
  std::vector<int> left(size_t(M * K)), right(size_t(N * K));
  for (int64_t i = 0; i < M * K; ++i) left[size_t(i)] = small_number(1, i);
  for (int64_t i = 0; i < N * K; ++i) right[size_t(i)] = small_number(2, i);
  for (int64_t m = 0; m < M; ++m)
    for (int64_t n = 0; n < N; ++n) {
      int sum = 0;
      for (int64_t k = 0; k < K; ++k) sum += left[size_t(m * K + k)] * right[size_t(n * K + k)];
      if (got[size_t(m * N + n)] != float(sum)) return false;
    }
  return true;
}

bool sums_are_right(const Stream& stream) {
  const int64_t P = 4, n = 16 * kParameterBlock;
  Tensor parts = small_numbers(3, P, n, DType::fp32, stream);
  Tensor sum({n}, DType::fp32, stream.device()), squares({1}, DType::fp64, stream.device()), words({1}, DType::i64, stream.device());
  tree_sum({.parts = parts.view(), .out = sum.view()}, stream);
  sum_of_squares({.x = sum.view(), .sums = squares.view()}, stream);
  checksum({.x = sum.view(), .sums = words.view()}, stream);
  const std::vector<float> got = on_host<float>(sum.view(), stream);
  int64_t want_squares = 0;
  uint64_t want_words = 0;
  for (int64_t i = 0; i < n; ++i) {
    int want = 0;
    for (int64_t p = 0; p < P; ++p) want += small_number(3, p * n + i);
    if (got[size_t(i)] != float(want)) return false;
    want_squares += want * want;
    want_words += checksum_term(std::bit_cast<uint32_t>(float(want)), uint64_t(i));
  }
  return on_host<double>(squares.view(), stream)[0] == double(want_squares) && uint64_t(on_host<int64_t>(words.view(), stream)[0]) == want_words;
}

// Word i of what rank `from` sends to rank `to`.
uint32_t word(int from, int to, int64_t i) { return uint32_t(from) * 2654435761u ^ uint32_t(to) * 40503u ^ uint32_t(i) * 2246822519u; }

// The ranks whose words did not arrive as they were sent.
std::string damaged_exchanges(Communicator& comm, const Stream& stream) {
  const int64_t n = 1024;
  const int R = comm.size(), me = comm.rank();
  Tensor host({R, n}, DType::i32), sent({R, n}, DType::i32, stream.device()), came({R, n}, DType::i32, stream.device()), all({R, n}, DType::i32, stream.device());
  for (int r = 0; r < R; ++r)
    for (int64_t i = 0; i < n; ++i) host.as<int32_t>()[r * n + i] = int32_t(word(me, r, i));
  copy(host.view(), sent.view(), stream);
  synchronize(stream);
  comm.all_to_all(sent.view(), came.view(), stream);
  fault_memory("self_test.exchange", came.view(), stream);
  comm.all_gather(sent.view().rows(0, 1), all.view(), stream);  // what each sent to rank 0
  const std::vector<int32_t> to_me = on_host<int32_t>(came.view(), stream), to_first = on_host<int32_t>(all.view(), stream);
  std::string damaged;
  for (int r = 0; r < R; ++r)
    for (int64_t i = 0; i < n; ++i) {
      if (uint32_t(to_me[size_t(r * n + i)]) == word(r, me, i) && uint32_t(to_first[size_t(r * n + i)]) == word(r, 0, i)) continue;
      damaged += fmt::format("{}what rank {} sent did not arrive whole", damaged.empty() ? "" : ", ", r);
      break;
    }
  return damaged;
}

}  // namespace

void self_test(Communicator& comm, const Stream& stream) {
  std::string failed;
  const auto fail = [&](const std::string& what) { failed += (failed.empty() ? "" : ", ") + what; };
  for (const DType dtype : {DType::fp32, DType::bf16})
    if (!products_are_right(dtype, stream)) fail(fmt::format("products of {} are wrong", name_of(dtype)));
  if (!sums_are_right(stream)) fail("sums are wrong");
  if (const std::string damaged = damaged_exchanges(comm, stream); !damaged.empty()) fail(damaged);
  const std::vector<std::string> all = all_gather_text(comm, failed.empty() ? "" : fmt::format("rank {} on {}: {}", comm.rank(), host_name(), failed));
  std::string text;
  for (const std::string& one : all)
    if (!one.empty()) text += (text.empty() ? "" : "; ") + one;
  TW_CHECK(text.empty(), corruption, "the test before training failed: {}. Leave that host or device out", text);
}

}  // namespace tw
