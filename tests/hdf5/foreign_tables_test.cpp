#include "src/hdf5/foreign_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/hdf5/foreign.h"
#include "tests/hdf5/foreign_files.h"

namespace tw::h5 {
namespace {
namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Tables : public testing::Test {
 protected:
  struct Table {
    std::string group;
    std::vector<std::string> columns;
    int64_t rows = 0;
    std::string text;
  };
  ~Tables() override { fs::remove(path_); }
  File create() const { return File(check(H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), "file")); }
  // A dataset of numbers in memory of `memory`, kept as `stored`.
  template <class T>
  Dataset put(const File& file, const std::string& name, hid_t stored, hid_t memory, const std::vector<T>& values, std::vector<hsize_t> sides = {},
              hid_t create = H5P_DEFAULT) const {
    if (sides.empty()) sides = {values.size()};
    const PropertyList links = make_property_list(H5P_LINK_CREATE);
    check(H5Pset_create_intermediate_group(links.get(), 1), "groups");
    const Dataspace space(check(H5Screate_simple(int(sides.size()), sides.data(), nullptr), name));
    Dataset dataset(check(H5Dcreate2(file.get(), name.c_str(), stored, space.get(), links.get(), create, H5P_DEFAULT), name));
    if (!values.empty()) check(H5Dwrite(dataset.get(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), name);
    return dataset;
  }
  Dataset put(const File& file, const std::string& name, const std::vector<double>& values, std::vector<hsize_t> sides = {}) const {
    return put(file, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, values, std::move(sides));
  }
  static void mark(const Dataset& dataset, const char* name, double value) {
    const Dataspace space(H5Screate(H5S_SCALAR));
    const Attribute attribute(check(H5Acreate2(dataset.get(), name, H5T_IEEE_F64LE, space.get(), H5P_DEFAULT, H5P_DEFAULT), name));
    check(H5Awrite(attribute.get(), H5T_NATIVE_DOUBLE, &value), name);
  }
  std::vector<Table> read() {
    std::vector<Table> tables;
    found_ = read_foreign_tables(read_file(path_), path_.string(), {.table = [&](const ForeignTable& t) { tables.push_back({t.group, t.columns, t.rows, ""}); },
                                                                    .rows = [&](std::string_view text) { tables.back().text += text; }},
                                 foreign_limits(1 << 20));
    EXPECT_EQ(found_.tables, int64_t(tables.size()));
    return tables;
  }
  const fs::path path_ = fs::temp_directory_path() / ("tw_tables_" + std::to_string(::getpid()) + ".h5");
  const Silence silence_;
  ForeignTables found_;
};

TEST_F(Tables, DatasetsOfEqualLengthStandSideBySide) {
  {
    const File file = create();
    put(file, "a", {1, 2.5, -3});
    put(file, "b", H5T_STD_I16BE, H5T_NATIVE_INT64, std::vector<int64_t>{-7, 8, 9});
    put(file, "run/x", {1e308, NAN, 0.1, -INFINITY});
    put(file, "run/y", H5T_STD_U64LE, H5T_NATIVE_UINT64, std::vector<uint64_t>{0, 1, 2, std::numeric_limits<uint64_t>::max()});
    put(file, "run/z", H5T_IEEE_F32BE, H5T_NATIVE_FLOAT, std::vector<float>{0.1f, 1e-7f, 3e38f, 0});
    put(file, "run/other", {1, 2, 3, 4, 5});
  }
  const auto tables = read();
  ASSERT_EQ(tables.size(), 3u);
  EXPECT_EQ(tables[0].group, "/");
  EXPECT_THAT(tables[0].columns, ElementsAre("a", "b"));
  EXPECT_EQ(tables[0].text, "1,-7\n2.5,8\n-3,9\n");
  EXPECT_EQ(tables[1].group, "/run");
  EXPECT_THAT(tables[1].columns, ElementsAre("x", "y", "z"));
  EXPECT_EQ(tables[1].text, "1e+308,0,0.1\nnan,1,0.0000001\n0.1,2,3e+38\n-inf,18446744073709551615,0\n");
  EXPECT_EQ(tables[2].text, "1\n2\n3\n4\n5\n");
  EXPECT_EQ(found_.left_out, "");
}

TEST_F(Tables, ColumnsHaveNamesFromAttributesOrTextsBeside) {
  const auto texts = [](const hid_t object, const char* name, std::vector<const char*> all, bool attribute, const std::string& path = "") {
    const Datatype type(H5Tcopy(H5T_C_S1));
    check(H5Tset_size(type.get(), H5T_VARIABLE), "text");
    const hsize_t n = all.size();
    const Dataspace space(H5Screate_simple(1, &n, nullptr));
    if (attribute) {
      const Attribute a(check(H5Acreate2(object, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), name));
      check(H5Awrite(a.get(), type.get(), all.data()), name);
    } else {
      const Dataset d(check(H5Dcreate2(object, path.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), path));
      check(H5Dwrite(d.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()), path);
    }
  };
  {
    const File file = create();
    const Dataset named = put(file, "a/named", {1, 2, 3, 4, 5, 6}, {3, 2});
    texts(named.get(), "columns", {"speed", "a, \"b\""}, true);
    const Dataset listed = put(file, "b/listed", {1, 2, 3, 4, 5, 6}, {3, 2});
    texts(listed.get(), "channels", {"u,v"}, true);
    put(file, "c/block0_values", {1, 2, 3, 4, 5, 6, 7, 8}, {4, 2});  // as pandas writes them
    texts(file.get(), "", {"p", "q"}, false, "c/block0_items");
    texts(file.get(), "", {"p", "q"}, false, "c/axis0");
    put(file, "c/axis1", H5T_STD_I64LE, H5T_NATIVE_INT64, std::vector<int64_t>{0, 1, 2, 3});
    put(file, "d/bare", {1, 2, 3, 4, 5, 6}, {3, 2});
  }
  const auto tables = read();
  ASSERT_EQ(tables.size(), 4u);
  EXPECT_THAT(tables[0].columns, ElementsAre("speed", "a, \"b\""));
  EXPECT_EQ(tables[0].text, "1,2\n3,4\n5,6\n");
  EXPECT_THAT(tables[1].columns, ElementsAre("u", "v"));
  EXPECT_THAT(tables[2].columns, ElementsAre("axis1", "p", "q"));
  EXPECT_EQ(tables[2].text, "0,1,2\n1,3,4\n2,5,6\n3,7,8\n");
  EXPECT_THAT(tables[3].columns, ElementsAre("bare 1", "bare 2"));
  EXPECT_THAT(found_.left_out, HasSubstr("/c/axis0: 2 rows, fewer than 3"));
}

TEST_F(Tables, RecordsWordsAndPackedNumbers) {
  struct Record {
    double t;
    int32_t where[2];
    int8_t state;
    char note[8];
  };
  {
    const File file = create();
    const Datatype state(H5Tenum_create(H5T_STD_I8LE)), text(H5Tcopy(H5T_C_S1)), record(H5Tcreate(H5T_COMPOUND, sizeof(Record)));
    const int8_t off = -1, on = 1;
    check(H5Tenum_insert(state.get(), "off", &off), "off"), check(H5Tenum_insert(state.get(), "on", &on), "on");
    check(H5Tset_size(text.get(), 8), "text");
    const hsize_t two = 2;
    const Datatype pair(H5Tarray_create2(H5T_STD_I32LE, 1, &two));
    check(H5Tinsert(record.get(), "t", offsetof(Record, t), H5T_IEEE_F64LE), "t");
    check(H5Tinsert(record.get(), "where", offsetof(Record, where), pair.get()), "where");
    check(H5Tinsert(record.get(), "state", offsetof(Record, state), state.get()), "state");
    check(H5Tinsert(record.get(), "note", offsetof(Record, note), text.get()), "note");
    put(file, "log", record.get(), record.get(), std::vector<Record>{{0.5, {1, 2}, -1, "a,b"}, {1, {3, 4}, 1, "say \"x\""}, {1.5, {5, 6}, 7, ""}});
    const Dataset packed = put(file, "packed", H5T_STD_I16LE, H5T_NATIVE_INT64, std::vector<int64_t>{2341, -1, -32768, 3});
    mark(packed, "scale_factor", 0.01), mark(packed, "add_offset", 20), mark(packed, "_FillValue", -32768);
  }
  const auto tables = read();
  ASSERT_EQ(tables.size(), 2u);
  EXPECT_THAT(tables[0].columns, ElementsAre("t", "where 1", "where 2", "state", "note"));
  EXPECT_EQ(tables[0].text, "0.5,1,2,off,\"a,b\"\n1,3,4,on,\"say \"\"x\"\"\"\n1.5,5,6,\"\",\"\"\n");
  EXPECT_EQ(tables[1].text, "43.41\n19.99\nnan\n20.03\n");
}

TEST_F(Tables, WhatIsNoColumnIsNamedAndCounted) {
  {
    const File file = create();
    put(file, "cube", std::vector<double>(27), {3, 3, 3});
    put(file, "empty", H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, std::vector<double>(), {0});
    put(file, "wide", H5T_STD_U8LE, H5T_NATIVE_DOUBLE, std::vector<double>(3 * 5000), {3, 5000});
    put(file, "good", {1, 2, 3});
    const Dataspace one(H5Screate(H5S_SCALAR));
    const Dataset rate(H5Dcreate2(file.get(), "rate", H5T_IEEE_F64LE, one.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    check(H5Lcreate_external("/etc/passwd", "x", file.get(), "away", H5P_DEFAULT, H5P_DEFAULT), "link");
    const hsize_t n = 10, much = hsize_t(1) << 50, chunk = hsize_t(1) << 20;
    const Dataspace ten(H5Screate_simple(1, &n, nullptr)), huge(H5Screate_simple(1, &much, nullptr));
    const PropertyList external = make_property_list(H5P_DATASET_CREATE), view = make_property_list(H5P_DATASET_CREATE), chunked = make_property_list(H5P_DATASET_CREATE);
    check(H5Pset_external(external.get(), "/etc/passwd", 0, 80), "external storage");
    const Dataset a(H5Dcreate2(file.get(), "outside", H5T_IEEE_F64LE, ten.get(), H5P_DEFAULT, external.get(), H5P_DEFAULT));
    check(H5Pset_virtual(view.get(), ten.get(), "other.h5", "x", ten.get()), "virtual");
    const Dataset b(H5Dcreate2(file.get(), "virtual", H5T_IEEE_F64LE, ten.get(), H5P_DEFAULT, view.get(), H5P_DEFAULT));
    check(H5Pset_chunk(chunked.get(), 1, &chunk), "chunk");
    const Dataset c(H5Dcreate2(file.get(), "vast", H5T_IEEE_F64LE, huge.get(), H5P_DEFAULT, chunked.get(), H5P_DEFAULT));
  }
  const auto tables = read();
  ASSERT_EQ(tables.size(), 1u);
  EXPECT_EQ(tables[0].text, "1\n2\n3\n");
  EXPECT_EQ(found_.left_out.substr(0, 26), "8 datasets are left out: /") << found_.left_out;
  EXPECT_THAT(found_.left_out, HasSubstr("/away: a link to another place, which is not followed; /cube: 3 dimensions; /empty: no rows; …"));
  // Each by itself, so that it is named.
  const auto reason = [&](const std::function<void(const File&)>& write) {
    {
      const File file = create();
      write(file);
    }
    EXPECT_TRUE(read().empty());
    return found_.left_out;
  };
  const hsize_t n = 10, much = hsize_t(1) << 46, chunk = hsize_t(1) << 20;
  const Dataspace ten(H5Screate_simple(1, &n, nullptr)), huge(H5Screate_simple(1, &much, nullptr));
  EXPECT_THAT(reason([&](const File& file) { put(file, "w", H5T_STD_U8LE, H5T_NATIVE_DOUBLE, std::vector<double>(3 * 5000), {3, 5000}); }), HasSubstr("3 x 5000 numbers: at most 4096 columns"));
  EXPECT_THAT(reason([&](const File& file) {
                const PropertyList create = make_property_list(H5P_DATASET_CREATE);
                check(H5Pset_external(create.get(), "/etc/passwd", 0, 80), "external storage");
                const Dataset d(H5Dcreate2(file.get(), "o", H5T_IEEE_F64LE, ten.get(), H5P_DEFAULT, create.get(), H5P_DEFAULT));
              }),
              HasSubstr("lies in other files"));
  EXPECT_THAT(reason([&](const File& file) {
                const PropertyList create = make_property_list(H5P_DATASET_CREATE);
                check(H5Pset_virtual(create.get(), ten.get(), "other.h5", "x", ten.get()), "virtual");
                const Dataset d(H5Dcreate2(file.get(), "v", H5T_IEEE_F64LE, ten.get(), H5P_DEFAULT, create.get(), H5P_DEFAULT));
              }),
              HasSubstr("virtual dataset"));
  EXPECT_THAT(reason([&](const File& file) {
                const PropertyList create = make_property_list(H5P_DATASET_CREATE);
                check(H5Pset_chunk(create.get(), 1, &chunk), "chunk");
                check(H5Pset_deflate(create.get(), 9), "deflate");
                const Dataset d(check(H5Dcreate2(file.get(), "bomb", H5T_IEEE_F64LE, huge.get(), H5P_DEFAULT, create.get(), H5P_DEFAULT), "bomb"));
                const std::vector<double> some(1000, 1);
                const hsize_t begin = 0, count = some.size();
                const Dataspace memory(H5Screate_simple(1, &count, nullptr)), part(H5Dget_space(d.get()));
                check(H5Sselect_hyperslab(part.get(), H5S_SELECT_SET, &begin, nullptr, &count, nullptr), "part");
                check(H5Dwrite(d.get(), H5T_NATIVE_DOUBLE, memory.get(), part.get(), H5P_DEFAULT, some.data()), "some");
              }),
              testing::ContainsRegex("claims 70368744177664 numbers in [0-9]+ bytes"));
}

TEST_F(Tables, GroupsMayStandInEachOtherAndInThemselves) {
  {
    const File file = create();
    std::string path;
    for (int depth = 0; depth < 200; ++depth) {
      path += "g/";
      if (depth == 50 || depth == 150) put(file, path + "v", {1, 2, 3});
    }
    put(file, "table/_i_table/sorted", {1, 2, 3, 4});  // PyTables' index
    const hid_t group = H5Gopen2(file.get(), "g", H5P_DEFAULT);
    check(H5Lcreate_hard(file.get(), "/", group, "top", H5P_DEFAULT, H5P_DEFAULT), "a ring");
    H5Gclose(group);
  }
  EXPECT_EQ(read().size(), 1u);
  EXPECT_THAT(found_.left_out, HasSubstr("more than 64 groups within each other"));
}

TEST_F(Tables, FilesOfTokenwerkAreToldApart) {
  {
    const File file = create();
    put(file, "tokens", {1, 2, 3});
    write_text(file, "format", "tokenwerk token file");
  }
  EXPECT_TRUE(read().empty());
  EXPECT_EQ(found_.own, "a token file");
  {
    const File file = create();
    const Dataset piece = put(file, "weight/layer/0", {1, 2, 3});
    for (const char* name : {"shape", "begin", "end"}) mark(piece, name, 0);
  }
  EXPECT_TRUE(read().empty());
  EXPECT_EQ(found_.own, "part of a checkpoint");
  {
    const File file = create();
    const hsize_t n = 10;
    const Dataspace ten(H5Screate_simple(1, &n, nullptr));
    const PropertyList view = make_property_list(H5P_DATASET_CREATE);
    check(H5Pset_virtual(view.get(), ten.get(), "shard-0000-of-0001.h5", "x", ten.get()), "virtual");
    const Dataset d(H5Dcreate2(file.get(), "layer", H5T_IEEE_F64LE, ten.get(), H5P_DEFAULT, view.get(), H5P_DEFAULT));
  }
  EXPECT_TRUE(read().empty());
  EXPECT_EQ(found_.own, "part of a checkpoint");
}

TEST_F(Tables, DamagedFilesAreRefused) {
  EXPECT_FALSE(is_hdf5("no HDF5"));
  EXPECT_FALSE(is_hdf5(""));
  std::string behind(1024, ' ');
  behind += "\x89HDF\r\n\x1a\n";
  EXPECT_TRUE(is_hdf5(behind)) << "behind a block of the user's";
  {
    const File file = create();
    put(file, "a", std::vector<double>(1000, 0.5));
  }
  const std::string whole = read_file(path_);
  for (const size_t size : {size_t(20), size_t(500), whole.size() - 4000}) {
    write_file_atomically(path_, whole.substr(0, size));
    EXPECT_THROW(read(), Error) << size;
  }
}

TEST(TableStream, WhatAReaderSaysIsNotBelieved) {
  const auto message = [](uint32_t kind, const std::string& body) {
    const uint32_t head[] = {kind, uint32_t(body.size())};
    return std::string(reinterpret_cast<const char*>(head), sizeof head) + body;
  };
  const ForeignTableSink sink;
  const auto said = [&](const std::string& bytes) {
    ForeignTableStream stream(sink);
    for (const char c : bytes) stream.add({&c, 1});
    return stream.finish();
  };
  const std::string table("/\0" "10\0a\0b", 8);
  EXPECT_EQ(said(message(1, table) + message(2, "1,2\n") + message(3, "x")).left_out, "x");
  for (const std::string& bad : {message(2, "1\n"), message(1, "/"), message(1, std::string("/\0-5\0a", 6)), message(1, std::string("/\0" "10\0", 5)), message(9, ""), message(1, table).substr(0, 9),
                                 std::string("\1\0\0\0\xFF\xFF\xFF\xFF", 8)})
    EXPECT_THROW(said(bad), Error) << bad;
}

}  // namespace
}  // namespace tw::h5
