// Whatever happens to committed files is found, named, and does not keep the checkpoint before from being used.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <random>

#include "src/checkpoint/manifest.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "tests/checkpoint/fixture.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kLarge = 300007;  // more than one block a shard

struct Opened {
  int64_t step = -1;
  std::string said;  // warnings, or the error
};
Opened open_and_listen(const fs::path& folder) {
  Opened out;
  testing::internal::CaptureStderr();
  try {
    out.step = Checkpoint::open(folder).info().step;
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(ExitCode::data)) << e.what();
    out.said = e.what();
  }
  out.said += testing::internal::GetCapturedStderr();
  return out;
}

std::string all_damage(const CheckpointReport& report) {
  std::string text;
  for (const std::string& sentence : report.damage) text += sentence + "\n";
  return text;
}

class Damage : public testing::Test {
 protected:
  void SetUp() override {
    save_toy(folder_.path(), 1, 2, Layout::even, 3, 0, kLarge);
    newest_ = save_toy(folder_.path(), 2, 2, Layout::even, 3, 0, kLarge);
    ASSERT_EQ(Checkpoint::open(folder_.path()).info().step, 2);
  }
  void expect_fallback(const std::string& named) {
    const Opened opened = open_and_listen(folder_.path());
    EXPECT_EQ(opened.step, 1);
    EXPECT_THAT(opened.said, AllOf(HasSubstr(newest_.filename().string()), HasSubstr(named)));
    EXPECT_EQ(wrong_elements(Checkpoint::open(folder_.path() / "step-00000001.a1"), 1, kLarge), 0);
  }
  TemporaryFolder folder_;
  fs::path newest_;
};

TEST_F(Damage, EveryFlippedBitIsFoundAndNamed) {
  std::mt19937_64 random(7);
  const Manifest manifest = read_manifest(newest_);
  int in_tensors = 0;
  for (int i = 0; i < 400; ++i) {
    const StoredFile& shard = manifest.shards[random() % 2];
    // Every fourth in the first 64 KiB, where HDF5 keeps its own data.
    const int64_t at = int64_t(random() % uint64_t(i % 4 ? shard.bytes : 65536));
    const fs::path path = newest_ / shard.file;
    const FileDescriptor fd(::open(path.c_str(), O_RDWR));
    char byte = 0;
    read_exactly(fd.get(), &byte, 1, at, path);
    const char flipped = char(byte ^ (1 << random() % 8));
    write_exactly(fd.get(), &flipped, 1, at, path);

    std::string tensor;
    for (const StoredPiece& p : shard.pieces)
      if (p.offset <= at && at < p.offset + p.bytes())
        tensor = fmt::format("tensor {} ({}), elements ", p.name, p.slot);
    const CheckpointReport report = verify_checkpoint(newest_);
    const std::string block = fmt::format("{}: block {} ", shard.file, at / kBlockBytes);
    EXPECT_THAT(all_damage(report), AllOf(HasSubstr(block), HasSubstr(tensor.empty() ? "no tensor" : tensor)));
    EXPECT_EQ(report.damage.size(), 1u);
    int bad_tensors = 0, bad_shards = 0;
    for (const auto& t : report.tensors) bad_tensors += !t.ok;
    for (const auto& s : report.shards) bad_shards += !s.ok;
    EXPECT_EQ(bad_tensors, tensor.empty() ? 0 : 1);
    EXPECT_EQ(bad_shards, 1);
    in_tensors += !tensor.empty();
    if (i % 4 == 0) expect_fallback(block);

    write_exactly(fd.get(), &byte, 1, at, path);
  }
  EXPECT_GT(in_tensors, 250);
  EXPECT_TRUE(verify_checkpoint(newest_).ok()) << "the bits were put back";
}

TEST_F(Damage, APageOfZerosIsFound) {
  const fs::path path = newest_ / "shard-0000-of-0002.h5";
  const FileDescriptor fd(::open(path.c_str(), O_RDWR));
  const std::string zeros(4096, '\0');
  write_exactly(fd.get(), zeros.data(), zeros.size(), (tw::file_size(path) / 2) & ~int64_t(4095), path);
  expect_fallback("is damaged: tensor");
}

TEST_F(Damage, CutFilesAreFoundAtEveryLength) {
  const fs::path path = newest_ / "shard-0001-of-0002.h5";
  for (int64_t size = tw::file_size(path) - 1; size > 0; size = size * 3 / 4) {
    fs::resize_file(path, uintmax_t(size));
    const CheckpointReport quick = verify_checkpoint(newest_, false);
    EXPECT_THAT(all_damage(quick), AllOf(HasSubstr(fmt::format("has {} bytes instead of", size)), HasSubstr("cut off")));
  }
  fs::resize_file(path, 0);
  expect_fallback("shard-0001-of-0002.h5 has 0 bytes");
}

TEST_F(Damage, ALongerFileIsFound) {
  std::ofstream(newest_ / "shard-0001-of-0002.h5", std::ios::app) << "x";
  expect_fallback("instead of");
}

TEST_F(Damage, ALostShardIsNamed) {
  fs::remove(newest_ / "shard-0001-of-0002.h5");
  expect_fallback("shard-0001-of-0002.h5 cannot be read");
}

TEST_F(Damage, AShardThatIsNoFileDoesNotHang) {
  fs::remove(newest_ / "shard-0001-of-0002.h5");
  ASSERT_EQ(::mkfifo((newest_ / "shard-0001-of-0002.h5").c_str(), 0600), 0);
  expect_fallback("not a file");
  fs::remove(newest_ / "MANIFEST");
  ASSERT_EQ(::mkfifo((newest_ / "MANIFEST").c_str(), 0600), 0);
  expect_fallback("is not a file");
}

TEST_F(Damage, AShardOfAnotherRunIsFound) {
  TemporaryFolder other;
  const fs::path theirs = save_toy(other.path(), 7, 2, Layout::even, 3, 0, kLarge);
  const fs::path name = "shard-0000-of-0002.h5";
  ASSERT_EQ(tw::file_size(theirs / name), tw::file_size(newest_ / name)) << "the size does not tell them apart";
  fs::copy_file(theirs / name, newest_ / name, fs::copy_options::overwrite_existing);
  expect_fallback("may be a file of another checkpoint");
}

TEST_F(Damage, ShardsOfTwoStepsAreNotMixed) {
  fs::copy_file(folder_.path() / "step-00000001.a1" / "shard-0001-of-0002.h5", newest_ / "shard-0001-of-0002.h5",
                fs::copy_options::overwrite_existing);
  expect_fallback("shard-0001-of-0002.h5");
}

TEST_F(Damage, AllRanksFallBackTogether) {
  fs::resize_file(newest_ / "shard-0001-of-0002.h5", 100000);
  for (const int ranks : {1, 2, 3}) {
    testing::internal::CaptureStderr();
    run_ranks(ranks, [&](Communicator& comm) {
      const auto checkpoint = open_checkpoint(folder_.path(), comm);
      ASSERT_TRUE(checkpoint);
      EXPECT_EQ(checkpoint->info().step, 1);
    });
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("shard-0001-of-0002.h5 has 100000 bytes"));
  }
  // Chosen by name, nothing stands in for it.
  run_ranks(2, [&](Communicator& comm) {
    try {
      open_checkpoint(newest_, comm);
      ADD_FAILURE();
    } catch (const Error& e) {
      EXPECT_EQ(int(e.code()), int(ExitCode::data));
      EXPECT_THAT(e.what(), HasSubstr("100000 bytes"));
    }
  });
}

TEST_F(Damage, NothingWholeIsAnErrorThatNamesTheNewest) {
  for (const auto& entry : fs::directory_iterator(folder_.path()))
    if (entry.is_directory()) fs::resize_file(entry.path() / "MANIFEST", 10);
  const Opened opened = open_and_listen(folder_.path());
  EXPECT_EQ(opened.step, -1);
  EXPECT_THAT(opened.said, AllOf(HasSubstr("step-00000002"), HasSubstr("1 older ones cannot be used either")));
}

TEST_F(Damage, ALostManifestIsAnUnfinishedCheckpoint) {
  fs::remove(newest_ / "MANIFEST");
  expect_fallback("was never finished");
}

TEST_F(Damage, ADamagedModelViewDoesNotMatterToOurReader) {
  fs::resize_file(newest_ / "model.h5", 1000);
  EXPECT_EQ(open_and_listen(folder_.path()).step, 2);
  EXPECT_THAT(all_damage(verify_checkpoint(newest_)), HasSubstr("model.h5"));
}

TEST_F(Damage, EveryChangedManifestIsRefusedQuickly) {
  const fs::path path = newest_ / "MANIFEST";
  const std::string good = read_file(path);
  std::mt19937_64 random(11);
  const auto refused = [&](const std::string& text, const char* what) {
    const auto start = std::chrono::steady_clock::now();
    try {
      parse_manifest(text, path);
      ADD_FAILURE() << what;
    } catch (const Error& e) {
      EXPECT_EQ(int(e.code()), int(ExitCode::data)) << e.what();
      EXPECT_THAT(e.what(), HasSubstr("MANIFEST"));
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
  };
  for (size_t size = 0; size < good.size(); size += 1 + size / 50) refused(good.substr(0, size), "cut");
  refused(good.substr(0, good.size() - 1), "cut by one");
  refused(good + "\n", "longer by one");
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    bad[random() % bad.size()] ^= char(1 << random() % 8);
    refused(bad, "flip");
  }
  for (int i = 0; i < 100; ++i) {
    std::string garbage(random() % 5000, '\0');
    for (char& c : garbage) c = char(random());
    refused(garbage, "garbage");
  }
  std::ofstream(path) << good.substr(0, good.size() / 2);
  expect_fallback("is cut off");
}

TEST(Manifest, ManyShortPiecesAreReadBackInTime) {
  Manifest manifest;
  StoredFile& shard = manifest.shards.emplace_back();
  shard.file = "s";
  for (int i = 0; i < 20000; ++i) {
    shard.pieces.push_back({"w", "m", Shape{1, 1, 5, 4000}, i, i + 1, shard.bytes, 1});
    shard.bytes += 4;
  }
  shard.blocks.resize(1);
  manifest.view.file = "v";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_stored_file(to_text(shard)).pieces.size(), 20000u);
  EXPECT_EQ(parse_manifest(to_text(manifest), "MANIFEST").shards[0].pieces.size(), 20000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

// A MANIFEST made on purpose, with a right checksum: sizes and names are checked all the same.
TEST_F(Damage, AHostileManifestIsRefused) {
  const std::string good = read_file(newest_ / "MANIFEST");
  const auto sealed = [](std::string body) {
    return body + fmt::format(",\n \"crc32c\": \"{:08x}\"\n}}\n", crc32c(body.data(), body.size()));
  };
  const std::string body = good.substr(0, good.rfind(",\n \"crc32c\""));
  ASSERT_EQ(sealed(body), good);
  const auto changed = [&](const std::string& from, const std::string& to) {
    const size_t at = body.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return sealed(body.substr(0, at) + to + body.substr(at + from.size()));
  };
  const auto refused = [&](const std::string& text, const std::string& why) {
    std::ofstream(newest_ / "MANIFEST") << text;
    expect_fallback(why);
  };
  const std::string file = "\"file\": \"shard-0000-of-0002.h5\"";
  for (const char* name : {"../shard.h5", "/etc/passwd", "a/b.h5", "", ".", "..", ".hidden", "x\\u0000y"})
    refused(changed(file, fmt::format("\"file\": \"{}\"", name)), "plain name");
  refused(changed(file, "\"file\": \"shard-0001-of-0002.h5\""), "twice");
  refused(changed(file, "\"file\": 7"), "is not a text");
  refused(changed("\"version\": 1", "\"version\": 3"), "use a newer Tokenwerk");
  refused(changed("\"version\": 1", "\"version\": 2"), "has no \"adapter\"");
  refused(changed("\"version\": 1", "\"version\": -1"), "out of range");
  refused(changed("\"step\": 2", "\"step\": 2.5"), "not a whole number");
  refused(changed("\"step\": 2", "\"step\": 18446744073709551615"), "too large");
  refused(changed("\"step\": 2", "\"stop\": 2"), "has no \"step\"");
  refused(changed("\"bytes\": ", "\"bytes\": 9"), "\"crc32c\" has");
  refused(changed("\"block_bytes\": 1048576", "\"block_bytes\": 1"), "block_bytes");
  refused(changed("\"offset\": ", "\"offset\": 9007199254"), "overlaps another or the file's end");
  refused(changed("\"begin\": 0", "\"begin\": 1"), "are missing");
  refused(changed("\"shape\": [\n      97,", "\"shape\": [\n      4611686018427387904,"), "too large");
  refused(changed("\"shape\": [\n      97,", "\"shape\": [\n      9007199254740000,"), "too large");
  refused(changed("\"shape\": [\n      97,", "\"shape\": [\n      1,2,3,4,97,"), "extents");
  refused(changed("\"xxh3\": \"", "\"xxh3\": \"zz"), "hexadecimal");
  refused(changed("\"tensor\": \"tokens.weight\"", "\"tensor\": \"../x\""), "plain name");
  refused(changed("\"trainer\": ", "\"trainer\": " + std::string(100000, '[') + std::string(100000, ']') + ", \"x\": "),
          "nested too deeply");
  std::string swarm = "{\n \"a\": [";
  while (swarm.size() < size_t(20) << 20) swarm += "[],";
  refused(sealed(swarm + "1]"), "more than its kind of file has");
  refused(sealed("[[[["), "is not JSON");
  refused(sealed("{\n"), "is not JSON");
  refused(sealed("{\n \"format\": \"other\""), "not a MANIFEST of Tokenwerk");
  refused(sealed("{\n \"shards\": {}"), "has no \"format\"");
}

}  // namespace
}  // namespace tw
