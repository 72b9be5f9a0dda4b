#include "src/interop/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "src/core/error.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

class Safetensors : public testing::Test {
 protected:
  fs::path file_ = fs::temp_directory_path() / ("tw-safetensors-" + std::to_string(getpid()));
  void TearDown() override { fs::remove(file_); }
  void write(const std::string& header, size_t data_bytes) {
    uint64_t n = header.size();
    std::string bytes(reinterpret_cast<const char*>(&n), 8);
    put(bytes + header + std::string(data_bytes, '\x01'));
  }
  void put(const std::string& bytes) { std::ofstream(file_, std::ios::binary) << bytes; }  // no flush to disk: fast
};

TEST_F(Safetensors, RoundTripsEachType) {
  const std::vector<float> a = {1, -2.5f, 3e-8f, 65504}, b = {0.1f};
  for (DType dtype : {DType::fp32, DType::bf16, DType::fp16}) {
    write_safetensors(file_, {{"a", {2, 2}, a.data()}, {"b", {1}, b.data()}}, dtype);
    const SafetensorsFile f(file_);
    ASSERT_EQ(f.entries().size(), 2u);
    std::vector<float> got(4);
    f.read(*f.find("a"), 0, 4, got.data());
    for (size_t i = 0; i < 4; ++i) {
      const float want = dtype == DType::fp32 ? a[i] : dtype == DType::bf16 ? float(bf16(a[i])) : float(fp16(a[i]));
      EXPECT_EQ(got[i], want);
    }
    f.read(*f.find("a"), 1, 2, got.data());
    EXPECT_EQ(got[0], dtype == DType::fp32 ? a[1] : -2.5f);
    EXPECT_EQ(f.find("c"), nullptr);
  }
}

TEST_F(Safetensors, RefusesWhatCannotBe) {
  const char* bad[] = {
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})",                      // shape and bytes differ
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",                      // hole at the start
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
      R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}})",                    // beyond the file
      R"({"a":{"dtype":"Q7","shape":[1],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})",  // product overflows
      R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":"x","data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})",
      R"({"a":7})", R"([1,2])", "{", ""};
  for (const char* header : bad) {
    write(header, 8);
    try {
      SafetensorsFile f(file_);
      ADD_FAILURE() << "accepted " << header;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    }
  }
  put("abc");
  EXPECT_THROW(SafetensorsFile f(file_), Error);
  put(std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + "{}");
  EXPECT_THROW(SafetensorsFile f(file_), Error);
  write("{\"a\":" + std::string(200000, '[') + "}", 0);
  EXPECT_THROW(SafetensorsFile f(file_), Error);
}

TEST_F(Safetensors, EveryTruncationAndManyMutationsEndInAnError) {
  const std::vector<float> a(12, 1.5f);
  write_safetensors(file_, {{"a", {3, 4}, a.data()}}, DType::fp32);
  const std::string whole = read_file(file_);
  for (size_t n = 0; n < whole.size(); ++n) {
    put(whole.substr(0, n));
    EXPECT_THROW(SafetensorsFile f(file_), Error) << n;
  }
  uint64_t random = 1;
  for (int i = 0; i < 400; ++i) {
    std::string bytes = whole;
    random = random * 6364136223846793005u + 1442695040888963407u;
    bytes[size_t(random >> 33) % (whole.size() - 48)] = char(random >> 20);
    put(bytes);
    try {
      SafetensorsFile f(file_);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
    }
  }
}

}  // namespace
}  // namespace tw
