// Files that HDF5's own library wrote, read by ours.
#include "src/hdf5/reader.h"

#include <cstring>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "src/core/file.h"
#include "src/hdf5/h5.h"

namespace tw::h5 {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

std::string written(const std::function<void(const File&)>& fill) {
  const fs::path path = fs::temp_directory_path() / ("tw_reader_test." + std::to_string(::getpid()) + ".h5");
  {
    const std::lock_guard lock(library_mutex());
    const Silence silence;
    File file = create_to_write(path, 64);
    fill(file);
    check(H5Fclose(file.release()), "closing");
  }
  std::string content = read_file(path);
  fs::remove(path);
  return content;
}

template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::data);
    return e.what();
  }
  return "none";
}

TEST(Hdf5Reader, ChecksumIsThatOfLookup3) {
  // From lookup3.c, driver5.
  EXPECT_EQ(checksum(""), 0xdeadbeefu);
  EXPECT_EQ(checksum("Four score and seven years ago"), 0x17770551u);
}

TEST(Hdf5Reader, FindsWhatTheLibraryWrote) {
  int64_t at = 0;
  const std::string file = written([&](const File& f) {
    at = lay_out_contiguous(f, "numbers", H5T_STD_U32LE, {5, 3});
    lay_out_contiguous(f, "none", H5T_STD_I64LE, {0});
    for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h", "i"})
      lay_out_contiguous(f, name, H5T_STD_U8LE, {7});
    write_int(f, "minus", -5);
    write_int(f, "large", INT64_MAX);
    write_text(f, "word", "h\u00e9llo");
    for (int i = 0; i < 20; ++i) write_int(f, ("n" + std::to_string(i)).c_str(), i);
  });
  const Reader reader(file, "t.h5");
  EXPECT_TRUE(reader.has_dataset("numbers"));
  EXPECT_FALSE(reader.has_dataset("number"));
  const Extent e = reader.find_contiguous("numbers", 2, {Element::u16, Element::u32});
  EXPECT_EQ(e.offset, at);
  EXPECT_EQ(e.shape, (std::vector<int64_t>{5, 3}));
  EXPECT_EQ(e.bytes(), 60);
  EXPECT_EQ(reader.find_contiguous("none", 1, {Element::i64}).bytes(), 0);
  EXPECT_EQ(reader.find_contiguous("i", 1, {Element::u8}).bytes(), 7);
  EXPECT_EQ(reader.read_int("minus"), -5);
  EXPECT_EQ(reader.read_int("large"), INT64_MAX);
  EXPECT_EQ(reader.read_text("word"), "h\u00e9llo");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(reader.read_int("n" + std::to_string(i)), i);  // the header goes on elsewhere
}

TEST(Hdf5Reader, RefusesByNameWhatIsOfAnotherKind) {
  const std::string file = written([](const File& f) {
    lay_out_contiguous(f, "big", H5T_STD_U32BE, {5});
    lay_out_contiguous(f, "real", H5T_IEEE_F32LE, {5});
    check(H5Lcreate_soft("/big", f.get(), "soft", H5P_DEFAULT, H5P_DEFAULT), "soft");
    check(H5Lcreate_external("other.h5", "/x", f.get(), "external", H5P_DEFAULT, H5P_DEFAULT), "external");
    check(H5Gclose(check(H5Gcreate2(f.get(), "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), "group")), "group");
    const hsize_t n = 5;
    const Dataspace space(check(H5Screate_simple(1, &n, nullptr), "space"));
    const PropertyList chunked = make_property_list(H5P_DATASET_CREATE);
    check(H5Pset_chunk(chunked.get(), 1, &n), "chunked");
    const Dataset set(check(
        H5Dcreate2(f.get(), "chunked", H5T_STD_U8LE, space.get(), H5P_DEFAULT, chunked.get(), H5P_DEFAULT), "chunked"));
    write_text(f, "word", "5");
    write_int(f, "five", 5);
  });
  const Reader reader(file, "t.h5");
  const auto dataset = [&](const char* name) {
    return error_of([&] { reader.find_contiguous(name, 1, {Element::u8, Element::u32}); });
  };
  EXPECT_THAT(dataset("big"), HasSubstr("\"big\" has elements of another type"));
  EXPECT_THAT(dataset("real"), HasSubstr("\"real\" has elements of another type"));
  EXPECT_THAT(dataset("soft"), HasSubstr("link to another place"));
  EXPECT_THAT(dataset("external"), HasSubstr("link to another place"));
  EXPECT_THAT(dataset("group"), HasSubstr("\"group\" is not a dataset"));
  EXPECT_THAT(dataset("chunked"), HasSubstr("must lie in one piece"));
  EXPECT_THAT(dataset("absent"), HasSubstr("no dataset \"absent\""));
  EXPECT_THAT(error_of([&] { reader.read_int("word"); }), HasSubstr("not an integer"));
  EXPECT_THAT(error_of([&] { reader.read_text("five"); }), HasSubstr("not a text"));
  EXPECT_THAT(error_of([&] { reader.read_int("absent"); }), HasSubstr("no attribute \"absent\""));
}

TEST(Hdf5Reader, ChangedMetadataIsSeen) {
  const std::string file = written([](const File& f) {
    lay_out_contiguous(f, "numbers", H5T_STD_U32LE, {5});
    write_int(f, "five", 5);
  });
  const auto ends = [](const std::string& content) {
    return error_of([&] {
      const Reader reader(content, "t.h5");
      reader.read_int("five");
      reader.find_contiguous("numbers", 1, {Element::u32});
    });
  };
  ASSERT_EQ(ends(file), "none");
  for (size_t at = 0; at < 48; ++at) {
    std::string changed = file;
    changed[at] = char(changed[at] ^ 0x10);
    EXPECT_NE(ends(changed), "none") << at;
  }
  for (size_t at = file.find("OHDR"); at != file.npos; at = file.find("OHDR", at + 1))
    for (size_t i = 4; i < 60; ++i) {
      std::string changed = file;
      changed[at + i] = char(changed[at + i] ^ 0x01);
      EXPECT_NE(ends(changed), "none") << at << " + " << i;
    }
  for (size_t bytes = 0; bytes < file.size(); bytes += 7) EXPECT_NE(ends(file.substr(0, bytes)), "none") << bytes;
}

// An object header that names itself as the place where it goes on, with right checksums.
TEST(Hdf5Reader, AHeaderThatGoesOnInACircleEnds) {
  std::string file = written([](const File& f) { write_int(f, "five", 5); });
  uint64_t root = 0;
  std::memcpy(&root, file.data() + 36, 8);
  const size_t begin = file.size();
  file += "OHDR";
  file += std::string("\x02\x00\x14\x10\x10\x00\x00", 7);  // version, flags, 20 bytes: message 16 of 16 bytes
  const uint64_t where = begin + 4 + 7 + 16 + 4, length = 4 + 20 + 4;
  const auto number = [&](uint64_t value, size_t width) { file.append(reinterpret_cast<const char*>(&value), width); };
  number(where, 8), number(length, 8);
  number(checksum(std::string_view(file).substr(begin)), 4);
  file += "OCHK";
  file += std::string("\x10\x10\x00\x00", 4);
  number(where, 8), number(length, 8);
  number(checksum(std::string_view(file).substr(where)), 4);
  const auto put = [&](size_t at, uint64_t value, size_t width) { std::memcpy(file.data() + at, &value, width); };
  put(28, file.size(), 8), put(36, begin, 8);
  put(44, checksum(std::string_view(file).substr(0, 44)), 4);
  EXPECT_THAT(error_of([&] { Reader(file, "t.h5"); }), HasSubstr("more than 64 blocks"));
}

}  // namespace
}  // namespace tw::h5
