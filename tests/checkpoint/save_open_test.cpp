#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "comm/self.h"
#include "src/checkpoint/layout.h"
#include "src/core/file.h"
#include "tests/checkpoint/fixture.h"
#include "tests/support/thread_comm.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr Layout kLayouts[] = {Layout::whole, Layout::even, Layout::ragged};

template <class Body>
std::string message_of(ExitCode code, Body body) {
  try {
    body();
  } catch (const Error& e) {
    EXPECT_EQ(int(e.code()), int(code)) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST(Checkpoint, EveryLayoutReadsEveryLayout) {
  TemporaryFolder folder;
  int64_t step = 0;
  for (const int writers : {1, 2, 4})
    for (const Layout written : kLayouts) {
      save_toy(folder.path(), ++step, writers, written, 1);
      for (const int readers : {1, 2, 4})
        for (const Layout wanted : kLayouts)
          run_ranks(readers, [&](Communicator& comm) {
            const auto checkpoint = open_checkpoint(folder.path(), comm);
            ASSERT_TRUE(checkpoint);
            const ToySlices expected = toy_slices(wanted, step, comm.rank(), readers);
            for (size_t i = 0; i < expected.slices.size(); ++i) {
              const TensorSlice& s = expected.slices[i];
              std::vector<float> got(expected.memory[i].size() + 1, std::nanf(""));
              checkpoint->read(s.name, s.slot, s.begin, s.end, View(got.data(), DType::fp32, {s.end - s.begin}));
              EXPECT_TRUE(std::isnan(got.back())) << "written past the end";
              got.pop_back();
              EXPECT_EQ(got, expected.memory[i]) << s.name << " " << s.slot << " " << s.begin;
            }
          });
    }
}

TEST(Checkpoint, GivesBackTheInformation) {
  TemporaryFolder folder;
  save_toy(folder.path() / "run" / "checkpoints", 17);
  const Checkpoint checkpoint = Checkpoint::open(folder.path() / "run");
  const CheckpointInfo expected = toy_info(17), &got = checkpoint.info();
  EXPECT_EQ(got.step, 17);
  EXPECT_EQ(got.samples, expected.samples);
  EXPECT_EQ(got.tokens, expected.tokens);
  EXPECT_EQ(got.joules, expected.joules);
  EXPECT_EQ(got.model_json, expected.model_json);
  EXPECT_EQ(got.config_toml, expected.config_toml);
  EXPECT_EQ(got.trainer_json, expected.trainer_json);
  EXPECT_EQ(got.tokenizer_hash, expected.tokenizer_hash);
  EXPECT_EQ(got.data_fingerprint, expected.data_fingerprint);
  // The order does not depend on who wrote what.
  std::vector<std::string> names;
  for (const auto& t : checkpoint.tensors()) names.push_back(t.slot + " " + t.name + " " + t.shape.str());
  ASSERT_EQ(names.size(), 15u);
  EXPECT_EQ(names[0], "weight block (3, 5, 7, 2)");
  EXPECT_EQ(names[1], "weight layers.2.mlp.up.weight (70001)");
  EXPECT_EQ(names[2], "weight layers.10.mlp_norm.bias (1)");
  EXPECT_EQ(names[5], "m block (3, 5, 7, 2)");
}

TEST(Checkpoint, OpensOneFolderOrTheNewest) {
  TemporaryFolder folder;
  const fs::path first = save_toy(folder.path(), 1), second = save_toy(folder.path(), 2);
  EXPECT_EQ(Checkpoint::open(folder.path()).info().step, 2);
  EXPECT_EQ(Checkpoint::open(first).info().step, 1);
  EXPECT_EQ(Checkpoint::open(first.string() + "/").info().step, 1);
  EXPECT_EQ(Checkpoint::open(second, false).info().step, 2);
  EXPECT_FALSE(Checkpoint::open_newest(folder.path() / "nothing"));
  fs::create_directories(folder.path() / "empty");
  EXPECT_FALSE(Checkpoint::open_newest(folder.path() / "empty"));
  message_of(ExitCode::no_input, [&] { Checkpoint::open(folder.path() / "empty"); });
  message_of(ExitCode::no_input, [&] { Checkpoint::open(folder.path() / "nothing"); });
  run_ranks(3, [&](Communicator& comm) { EXPECT_FALSE(open_checkpoint(folder.path() / "empty", comm)); });
}

TEST(Checkpoint, ALaterAttemptIsNewerThoughItWentBack) {
  TemporaryFolder folder;
  save_toy(folder.path(), 200);
  save_toy(folder.path(), 110);  // resumed from step 100 by hand
  EXPECT_EQ(Checkpoint::open(folder.path()).info().step, 110);
}

TEST(Checkpoint, TheSameStepCanBeSavedTwiceByOneAttempt) {
  TemporaryFolder folder;
  const auto comm = make_self_communicator();
  const RunLease lease = RunLease::acquire(folder.path());
  CheckpointOptions options;
  options.folder = folder.path() / "checkpoints";
  options.lease = &lease;
  const ToySlices mine = toy_slices(Layout::whole, 5, 0, 1);
  EXPECT_EQ(save_checkpoint(options, toy_info(5), mine.slices, *comm).filename(), "step-00000005.a1");
  EXPECT_EQ(save_checkpoint(options, toy_info(5), mine.slices, *comm).filename(), "step-00000005.a1-2");
  EXPECT_EQ(Checkpoint::open(folder.path()).folder().filename(), "step-00000005.a1-2");
}

TEST(Checkpoint, KeepsTheNewestAndEveryNth) {
  TemporaryFolder folder;
  for (int64_t step = 1; step <= 9; ++step) save_toy(folder.path(), step, 1, Layout::whole, 2, 4, 10);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("lease.a9", "step-00000004.a4", "step-00000008.a8", "step-00000009.a9"));
}

TEST(Checkpoint, ADamagedOneDoesNotCountAsKept) {
  TemporaryFolder folder;
  save_toy(folder.path(), 1, 1, Layout::whole, 2, 0, 10);
  const fs::path damaged = save_toy(folder.path(), 2, 1, Layout::whole, 2, 0, 10);
  fs::resize_file(damaged / "shard-0000-of-0001.h5", 5000);
  save_toy(folder.path(), 3, 1, Layout::whole, 2, 0, 10);
  EXPECT_TRUE(fs::exists(folder.path() / "step-00000001.a1")) << "the only one to fall back to";
}

TEST(Checkpoint, WrongSlicesAreRefusedOnEveryRankAndLeaveNothing) {
  TemporaryFolder folder;
  save_toy(folder.path(), 1);
  const auto attempt = [&](auto change) {
    return message_of(ExitCode::bug, [&] {
      run_ranks(2, [&](Communicator& comm) {
        ToySlices mine = toy_slices(Layout::even, 2, comm.rank(), 2);
        if (comm.rank() == 1) change(mine.slices);
        CheckpointOptions options;
        options.folder = folder.path();
        message_of(ExitCode::bug, [&] { save_checkpoint(options, toy_info(2), mine.slices, comm); });
        save_checkpoint(options, toy_info(2), mine.slices, comm);
      });
    });
  };
  using Slices = std::vector<TensorSlice>;
  EXPECT_THAT(attempt([](Slices& s) { s.erase(s.begin()); }), HasSubstr("elements 1601 to 3200 of tokens.weight (weight) are missing"));
  EXPECT_THAT(attempt([](Slices& s) { s[0].begin -= 5, s[0].end -= 5; }), HasSubstr("is there twice"));
  EXPECT_THAT(attempt([](Slices& s) { s.push_back(s[0]); }), HasSubstr("rank 1: "));
  EXPECT_THAT(attempt([](Slices& s) { s[0].shape = Shape{33, 97}; }), HasSubstr("shapes"));
  EXPECT_THAT(attempt([](Slices& s) { s[0].end += 1; }), HasSubstr("not a range"));
  EXPECT_THAT(attempt([](Slices& s) { s[0].name = "../x"; }), HasSubstr("cannot be a tensor's name"));
  EXPECT_THAT(attempt([](Slices& s) { s[0].data.dtype = DType::i32; }), HasSubstr("fp32 in host memory"));
  EXPECT_EQ(Checkpoint::open(folder.path()).info().step, 1);
  int folders = 0;
  for (const std::string& name : names_in(folder.path())) folders += name.starts_with("step-");
  EXPECT_EQ(folders, 1);
}

TEST(Checkpoint, ReadingWhatIsNotThereIsNamed) {
  TemporaryFolder folder;
  save_toy(folder.path(), 1);
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  float x[2];
  const auto read = [&](const char* name, const char* slot, int64_t begin) {
    return message_of(ExitCode::data, [&] { checkpoint.read(name, slot, begin, begin + 2, View(x, DType::fp32, {2})); });
  };
  EXPECT_THAT(read("head.weight", "weight", 0), HasSubstr("no tensor head.weight (weight)"));
  EXPECT_THAT(read("tokens.weight", "ema", 0), HasSubstr("no tensor tokens.weight (ema)"));
  EXPECT_THAT(read("tokens.weight", "m", 97 * 33 - 1), HasSubstr("no element 3201"));
}

TEST(Checkpoint, UnwritableFoldersAreNamed) {
  for (const char* path : {"/dev/full", "/dev/full/x", "/proc/nothing"})
    EXPECT_THAT(message_of(ExitCode::cannot_create, [&] { save_toy(path, 1, 1); }), HasSubstr(path));
  TemporaryFolder folder;
  std::ofstream(folder.path() / "file") << "x";
  EXPECT_THAT(message_of(ExitCode::cannot_create, [&] { save_toy(folder.path() / "file", 1, 2); }), HasSubstr("file"));
}

// What h5py sees: the same calls through the C API.
std::vector<float> read_dataset(hid_t file, const std::string& path, std::vector<hsize_t>& dims) {
  const hid_t dataset = H5Dopen2(file, path.c_str(), H5P_DEFAULT);
  EXPECT_GE(dataset, 0) << path;
  const hid_t space = H5Dget_space(dataset);
  dims.resize(size_t(H5Sget_simple_extent_ndims(space)));
  H5Sget_simple_extent_dims(space, dims.data(), nullptr);
  std::vector<float> values(size_t(H5Sget_simple_extent_npoints(space)), 12345);
  EXPECT_GE(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0) << path;
  H5Sclose(space), H5Dclose(dataset);
  return values;
}

TEST(ModelView, ShowsEachTensorInItsShape) {
  for (const int ranks : {1, 3})
    for (const Layout layout : kLayouts) {
      TemporaryFolder folder;
      const fs::path checkpoint = save_toy(folder.path(), 3, ranks, layout);
      const fs::path moved = folder.path() / "elsewhere";  // names of sources are relative
      fs::rename(checkpoint, moved);
      const hid_t file = H5Fopen((moved / "model.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
      ASSERT_GE(file, 0);
      for (const ToyTensor& t : toy_tensors()) {
        std::vector<hsize_t> dims;
        const auto values = read_dataset(file, t.slot == "weight" ? "/" + t.name : "/optimizer/" + t.slot + "/" + t.name, dims);
        ASSERT_EQ(dims.size(), size_t(std::max(1, t.shape.rank())));
        for (int i = 0; i < t.shape.rank(); ++i) EXPECT_EQ(int64_t(dims[size_t(i)]), t.shape[i]);
        int64_t wrong = 0;
        for (int64_t i = 0; i < t.shape.count(); ++i) wrong += values[size_t(i)] != toy_value(t, i, 3);
        EXPECT_EQ(wrong, 0) << t.name << " " << t.slot << " on " << ranks;
      }
      H5Fclose(file);
    }
}

TEST(ModelView, AMissingShardReadsAsNan) {
  TemporaryFolder folder;
  const fs::path checkpoint = save_toy(folder.path(), 3, 2);
  fs::remove(checkpoint / "shard-0001-of-0002.h5");
  const hid_t file = H5Fopen((checkpoint / "model.h5").c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  std::vector<hsize_t> dims;
  const auto values = read_dataset(file, "/tokens.weight", dims);
  EXPECT_FALSE(std::isnan(values.front()));
  EXPECT_TRUE(std::isnan(values.back()));
  H5Fclose(file);
}

TEST(ShardLayout, KeepsTheImageSmallForManyLongNames) {
  std::vector<StoredPiece> pieces;
  for (int i = 0; i < 2000; ++i)
    pieces.push_back({fmt::format("layers.{}.{}", i, std::string(100, 'x')), "weight", Shape{1 << 20, 4}, 0, 1 << 22});
  const FileLayout layout = lay_out_shard(pieces);
  EXPECT_GT(layout.bytes, int64_t(2000) << 24);
  EXPECT_LT(layout.image.size(), size_t(8) << 20);
  for (size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_EQ(pieces[i].offset % 4096, 0);
    EXPECT_GE(pieces[i].offset, i ? pieces[i - 1].offset + pieces[i - 1].bytes() : 0);
  }
}

}  // namespace
}  // namespace tw
