#include "src/hdf5/foreign.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "src/core/error.h"
#include "tests/hdf5/foreign_files.h"

namespace tw::h5 {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class Foreign : public testing::Test {
 protected:
  fs::path path_ = fs::temp_directory_path() / ("tw_foreign_" + std::to_string(::getpid()) + ".h5"), other_ = path_.string() + ".other";
  Silence silence_;
  std::vector<int64_t> values_;
  Foreign() {
    for (int64_t i = 0; i < 1000; ++i) values_.push_back(i * 37 % 1000);
  }
  ~Foreign() override { fs::remove(path_), fs::remove(other_); }

  std::vector<int64_t> read(const std::string& dataset = "") const {
    std::vector<int64_t> got;
    const int64_t n = read_foreign_integers({path_, dataset, foreign_limits(1 << 20)}, [&](std::span<const int64_t> v) { got.insert(got.end(), v.begin(), v.end()); });
    EXPECT_EQ(n, int64_t(got.size()));
    return got;
  }
  std::string refusal(const std::string& dataset = "ids") const {
    try {
      read(dataset);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
      EXPECT_THAT(e.what(), HasSubstr(path_.string()));
      return e.what();
    }
    return "not refused";
  }
  File create() const { return File(check(H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "file")); }
};

TEST_F(Foreign, EveryKindGivesItsNumbers) {
  for (const ForeignKind& kind : foreign_kinds()) {
    write_foreign(path_, kind, values_);
    EXPECT_EQ(read(), values_) << "found by itself";
    EXPECT_EQ(read(kind.dataset), values_);
    EXPECT_EQ(read("/" + kind.dataset), values_);
  }
  const std::vector<int64_t> many(300'000, 7);
  write_foreign(path_, {.chunked = true, .deflate = true}, many);
  EXPECT_EQ(read(), many);
  write_foreign(path_, {.type = H5T_STD_I8LE}, {-5, 5});
  EXPECT_EQ(read(), (std::vector<int64_t>{-5, 5}));
}

TEST_F(Foreign, WhatLeadsOutOfTheFileIsRefused) {
  write_foreign(other_, {}, values_);
  {
    const File file = create();
    check(H5Lcreate_external(other_.c_str(), "ids", file.get(), "ids", H5P_DEFAULT, H5P_DEFAULT), "external link");
    check(H5Lcreate_soft("/nowhere", file.get(), "soft", H5P_DEFAULT, H5P_DEFAULT), "soft link");
  }
  EXPECT_THAT(refusal(), HasSubstr("\"ids\" is a link to another place"));
  EXPECT_THAT(refusal("soft"), HasSubstr("is a link to another place"));
  EXPECT_THAT(refusal("ids/x"), HasSubstr("is a link to another place"));
  EXPECT_THAT(refusal(""), HasSubstr("no dataset"));
  {
    const File file = create();
    const hsize_t n = 10;
    const Dataspace space(H5Screate_simple(1, &n, nullptr));
    const PropertyList external = make_property_list(H5P_DATASET_CREATE);
    check(H5Pset_external(external.get(), "/etc/passwd", 0, 40), "external storage");
    const Dataset a(check(H5Dcreate2(file.get(), "ids", H5T_STD_I32LE, space.get(), H5P_DEFAULT, external.get(), H5P_DEFAULT), "a"));
    const PropertyList view = make_property_list(H5P_DATASET_CREATE);
    check(H5Pset_virtual(view.get(), space.get(), other_.c_str(), "ids", space.get()), "virtual");
    const Dataset b(check(H5Dcreate2(file.get(), "view", H5T_STD_I32LE, space.get(), H5P_DEFAULT, view.get(), H5P_DEFAULT), "b"));
  }
  EXPECT_THAT(refusal(), HasSubstr("lies in other files"));
  EXPECT_THAT(refusal("view"), HasSubstr("virtual dataset"));
}

TEST_F(Foreign, PluginsAreNotLoaded) {
  // A filter that only a plug-in has; were plug-ins loaded, this folder's would be.
  ::setenv("HDF5_PLUGIN_PATH", fs::temp_directory_path().c_str(), 1);
  {
    const File file = create();
    const hsize_t n = 10, chunk = 10;
    const Dataspace space(H5Screate_simple(1, &n, nullptr));
    const PropertyList filtered = make_property_list(H5P_DATASET_CREATE);
    check(H5Pset_chunk(filtered.get(), 1, &chunk), "chunk");
    check(H5Pset_filter(filtered.get(), 32015, H5Z_FLAG_OPTIONAL, 0, nullptr), "filter");
    const Dataset a(check(H5Dcreate2(file.get(), "ids", H5T_STD_I32LE, space.get(), H5P_DEFAULT, filtered.get(), H5P_DEFAULT), "a"));
    const std::vector<int64_t> ten(10, 1);
    check(H5Dwrite(a.get(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, ten.data()), "values");
  }
  ::unsetenv("HDF5_PLUGIN_PATH");
  EXPECT_THAT(refusal(), HasSubstr("filter 32015, a plug-in"));
}

TEST_F(Foreign, WrongKindsAreNamed) {
  write_foreign(path_, {}, values_);
  EXPECT_THAT(refusal("other"), HasSubstr("has no dataset \"other\""));
  EXPECT_THAT(refusal("/"), HasSubstr("has no dataset"));
  {
    const File file = create();
    const hsize_t square[] = {3, 3}, n = 3;
    const Dataspace two(H5Screate_simple(2, square, nullptr)), one(H5Screate_simple(1, &n, nullptr));
    const Dataset a(H5Dcreate2(file.get(), "square", H5T_STD_I32LE, two.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    const Dataset b(H5Dcreate2(file.get(), "real", H5T_IEEE_F32LE, one.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  }
  EXPECT_THAT(refusal("square"), HasSubstr("one dimension"));
  EXPECT_THAT(refusal("real"), HasSubstr("whole numbers"));
  {
    const File file = create();
    const hsize_t n = hsize_t(1) << 40, chunk = 1 << 20;
    const Dataspace space(H5Screate_simple(1, &n, nullptr));
    const PropertyList chunked = make_property_list(H5P_DATASET_CREATE);
    check(H5Pset_chunk(chunked.get(), 1, &chunk), "chunk");
    const Dataset a(H5Dcreate2(file.get(), "ids", H5T_STD_I32LE, space.get(), H5P_DEFAULT, chunked.get(), H5P_DEFAULT));
  }
  EXPECT_THAT(refusal(), HasSubstr("was never written"));
  std::ofstream(path_) << "no HDF5 at all";
  EXPECT_THAT(refusal(), HasSubstr("cannot be opened by the HDF5 library"));
  std::ofstream(path_, std::ios::trunc).flush();
  EXPECT_THAT(refusal(), HasSubstr("is empty"));
}

}  // namespace
}  // namespace tw::h5
