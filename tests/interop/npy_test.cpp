#include "src/interop/npy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/npy_reader.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

fs::path scratch(const char* name) { return fs::temp_directory_path() / (std::string("tw-npy-") + std::to_string(getpid()) + name); }

TEST(Npy, WritesWhatNumPyReads) {
  Tensor t({2, 3}, DType::fp32);
  for (int i = 0; i < 6; ++i) t.as<float>()[i] = float(i) / 3;
  const fs::path file = scratch("a.npy");
  write_npy(file, t.view());
  const std::string bytes = read_file(file);
  EXPECT_EQ(bytes.size() % 64, 24u);  // header padded to 64, then 24 bytes of data
  EXPECT_NE(bytes.find("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"), std::string::npos);
  EXPECT_EQ(read_float_npy(file), std::vector<float>(t.as<float>(), t.as<float>() + 6));
  fs::remove(file);
}

TEST(Npy, ReadsIdsOfItsOwnAndOfText) {
  Tensor t({2, 2}, DType::i32);
  for (int i = 0; i < 4; ++i) t.as<int32_t>()[i] = 10 * i;
  const fs::path file = scratch("b.npy");
  write_npy(file, t.view());
  const std::vector<std::vector<int32_t>> want = {{0, 10}, {20, 30}};
  EXPECT_EQ(read_ids(file), want);
  fs::remove(file);
  EXPECT_EQ(parse_ids("0 10\n20,30\n", "x"), want);
  EXPECT_EQ(parse_ids("[0, 10]\n\n[20, 30]", "x"), want);
  for (const char* bad : {"1 2 x", "-1", "4294967296", "1.5"}) EXPECT_THROW(parse_ids(bad, "x"), Error) << bad;
}

TEST(Npy, DamageIsDataErrorNeverACrash) {
  Tensor t({3, 5}, DType::i64);
  const fs::path file = scratch("c.npy");
  write_npy(file, t.view());
  const std::string whole = read_file(file);
  uint64_t random = 1;
  for (int i = 0; i < 600; ++i) {
    std::string bytes = whole;
    random = random * 6364136223846793005u + 1442695040888963407u;
    if (i % 3 == 0) bytes.resize(size_t(random >> 33) % whole.size());
    else bytes[size_t(random >> 33) % std::min<size_t>(whole.size(), 90)] = char(random >> 20);
    std::ofstream(file, std::ios::binary) << bytes;
    try {
      read_ids(file);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    }
  }
  fs::remove(file);
}

}  // namespace
}  // namespace tw
