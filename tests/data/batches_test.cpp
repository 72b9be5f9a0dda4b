#include "src/data/batches.h"

#include <gmock/gmock.h>

#include <set>

#include "src/core/error.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {
using testing::HasSubstr;

class BatchesOf : public testing::Test {
 protected:
  // A raw file of the ids first, first + 1, …
  std::shared_ptr<const TokenFile> file(int first, int count) {
    std::string bytes;
    for (int i = first; i < first + count; ++i) bytes += {char(i & 255), char(i >> 8)};
    const std::string name = std::to_string(first) + ".u16";
    folder_.write(name, bytes);
    return TokenFile::open(folder_ / name);
  }
  static std::vector<int32_t> sample(const Batches& batches, int64_t index, int64_t length) {
    std::vector<int32_t> x(size_t(length), -1), y(size_t(length), -1);
    batches.sample(index, x.data(), y.data());
    for (int64_t t = 0; t < length; ++t) EXPECT_EQ(y[size_t(t)], x[size_t(t)] + 1) << "the next token";
    return x;
  }
  ScratchFolder folder_;
};

TEST_F(BatchesOf, EachSampleComesOnceAnEpochInAnotherOrder) {
  // 41 tokens give 10 samples of 4 + 1 (a token is shared), 4 tokens none, 9 tokens 2.
  const Batches batches({file(0, 41), file(100, 4), file(200, 9)}, {.seq_len = 4, .seed = 7});
  ASSERT_EQ(batches.samples_per_epoch(), 12);
  std::vector<std::vector<int32_t>> orders;
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    std::vector<int32_t> order;
    std::set<int32_t> starts;
    for (int64_t i = 0; i < 12; ++i) {
      const auto x = sample(batches, epoch * 12 + i, 4);
      for (int32_t t = 1; t < 4; ++t) EXPECT_EQ(x[size_t(t)], x[0] + t);
      order.push_back(x[0]);
      starts.insert(x[0]);
    }
    EXPECT_EQ(starts, (std::set<int32_t>{0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 200, 204}));
    for (const auto& other : orders) EXPECT_NE(order, other);
    orders.push_back(order);
  }
}

TEST_F(BatchesOf, WithoutShuffleTheyComeInTheOrderOfTheFiles) {
  const Batches batches({file(200, 9), file(0, 10)}, {.seq_len = 4, .sample_stride = 2, .shuffle = false});
  std::vector<int32_t> starts;
  for (int64_t i = 0; i < 2 * batches.samples_per_epoch(); ++i) starts.push_back(sample(batches, i, 4)[0]);
  EXPECT_EQ(starts, (std::vector<int32_t>{200, 202, 204, 0, 2, 4, 200, 202, 204, 0, 2, 4}));
  EXPECT_EQ(batches.origin(4).file, 1);
  EXPECT_EQ(batches.origin(4).first_token, 2);
}

TEST_F(BatchesOf, ABlendTakesEachFileInEpochsOfItsOwn) {
  // 10 samples and 2 samples, taken 1 : 1; a file without a sample may have no weight.
  const std::vector<std::shared_ptr<const TokenFile>> files = {file(0, 41), file(100, 4), file(200, 9)};
  const Batches batches(files, {.seq_len = 4, .seed = 7, .blend = {{0, {0.5, 0, 0.5}}}});
  EXPECT_EQ(batches.samples_per_epoch(), 12);
  std::vector<std::vector<int64_t>> starts(3);
  for (int64_t i = 0; i < 60; ++i) {
    const Batches::Origin from = batches.origin(i);
    const auto x = sample(batches, i, 4);
    EXPECT_EQ(x[0], from.file * 100 + from.first_token);
    starts[size_t(from.file)].push_back(from.first_token);
  }
  EXPECT_TRUE(starts[1].empty());
  ASSERT_EQ(starts[0].size(), 30u);
  ASSERT_EQ(starts[2].size(), 30u);
  std::set<std::vector<int64_t>> orders;
  for (size_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> order(starts[0].begin() + int64_t(epoch) * 10, starts[0].begin() + int64_t(epoch + 1) * 10);
    EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), 10u) << "each once in epoch " << epoch;
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 3u);
  for (size_t i = 0; i < 30; i += 2) EXPECT_NE(starts[2][i], starts[2][i + 1]);
  EXPECT_THROW(Batches(files, {.seq_len = 4, .blend = {{0, {1, 1, 1}}}}), Error) << "weight for a file without a sample";
}

TEST_F(BatchesOf, FilesOfOneBlendAreNotShuffledAlike) {
  const Batches batches({file(0, 401), file(1000, 401)}, {.seq_len = 4, .seed = 7, .blend = {{0, {1, 1}}}});
  std::vector<int64_t> orders[2];
  for (int64_t i = 0; i < 200; ++i) orders[batches.origin(i).file].push_back(batches.origin(i).first_token);
  EXPECT_NE(orders[0], orders[1]);
  const Batches in_order({file(0, 401), file(1000, 401)}, {.seq_len = 4, .shuffle = false, .blend = {{0, {1, 3}}}});
  for (int64_t i = 0, next[2] = {}; i < 100; ++i) {
    const Batches::Origin from = in_order.origin(i);
    EXPECT_EQ(from.first_token, 4 * next[from.file]++);
  }
}

TEST_F(BatchesOf, TheFingerprintTellsFilesOrderAndOptionsApart) {
  const auto a = file(0, 20), b = file(50, 20);
  const BatchOptions options{.seq_len = 4, .seed = 1};
  std::set<std::string> prints = {Batches({a, b}, options).fingerprint()};
  EXPECT_EQ(Batches({a, b}, options).fingerprint(), *prints.begin());
  prints.insert(Batches({b, a}, options).fingerprint());
  prints.insert(Batches({a}, options).fingerprint());
  prints.insert(Batches({a, b}, {.seq_len = 5, .seed = 1}).fingerprint());
  prints.insert(Batches({a, b}, {.seq_len = 4, .seed = 2}).fingerprint());
  prints.insert(Batches({a, b}, {.seq_len = 4, .sample_stride = 3, .seed = 1}).fingerprint());
  prints.insert(Batches({a, b}, {.seq_len = 4, .shuffle = false, .seed = 1}).fingerprint());
  prints.insert(Batches({a, b}, {.seq_len = 4, .seed = 1, .blend = {{0, {1, 1}}}}).fingerprint());
  prints.insert(Batches({a, b}, {.seq_len = 4, .seed = 1, .blend = {{0, {1, 2}}}}).fingerprint());
  prints.insert(Batches({a, b}, {.seq_len = 4, .seed = 1, .blend = {{0, {1, 1}}, {8, {1, 2}}}}).fingerprint());
  prints.insert(Batches({a, b}, {.seq_len = 4, .seed = 1, .blend = {{0, {1, 1}}, {9, {1, 2}}}}).fingerprint());
  EXPECT_EQ(prints.size(), 11u);
}

TEST_F(BatchesOf, SayWhatIsWrong) {
  const auto a = file(0, 20);
  const auto fails = [&](const std::vector<std::shared_ptr<const TokenFile>>& files, const BatchOptions& options, ExitCode code,
                         const char* word) {
    try {
      const Batches batches(files, options);
      int32_t x[64], y[64];
      for (int64_t i = 0; i < batches.samples_per_epoch(); ++i) batches.sample(i, x, y);
      ADD_FAILURE() << word;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      EXPECT_THAT(e.what(), HasSubstr(word));
    }
  };
  fails({a}, {.seq_len = 0}, ExitCode::config, "seq_len");
  fails({a}, {.seq_len = 4, .sample_stride = -1}, ExitCode::config, "sample_stride");
  fails({a}, {.seq_len = 20}, ExitCode::data, "20 tokens");
  fails({}, {.seq_len = 4}, ExitCode::data, "no token file");
  fails({a}, {.seq_len = 4, .vocab_size = 15}, ExitCode::data, "0.u16");
  for (const char* name : {"one", "other"}) {
    TokenFileWriter writer(folder_ / (std::string(name) + ".h5"), 300, std::string("tokenizer ") + name);
    writer.append(std::vector<int32_t>(20, 1));
    writer.end_document({.path = "a.txt", .sha256 = std::string(64, 'a')});
    writer.finish();
  }
  const auto one = TokenFile::open(folder_ / "one.h5"), other = TokenFile::open(folder_ / "other.h5");
  fails({one, other}, {.seq_len = 4}, ExitCode::data, "one.h5");
  fails({one, other}, {.seq_len = 4, .blend = {{0, {1, 0}}}}, ExitCode::data, "other.h5");
  fails({a, one}, {.seq_len = 4, .blend = {{0, {1}}}}, ExitCode::config, "1 weights");
  folder_.write("w.u32", std::string(80, '\0'));
  fails({a, TokenFile::open(folder_ / "w.u32")}, {.seq_len = 4}, ExitCode::data, "bits");
}

}  // namespace
}  // namespace tw
