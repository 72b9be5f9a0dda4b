#include "src/core/hash.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace tw {
namespace {

std::string counting(size_t n) {
  std::string s(n, '\0');
  for (size_t i = 0; i < n; ++i) s[i] = char(i * 131 + i / 251);
  return s;
}

TEST(Crc32c, KnownVectors) {  // RFC 3720, B.4
  const auto crc = [](const std::string& s) { return crc32c(s.data(), s.size()); };
  EXPECT_EQ(crc(""), 0u);
  EXPECT_EQ(crc("123456789"), 0xE3069283u);
  EXPECT_EQ(crc(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc(std::string(32, '\xff')), 0x62A8AB43u);
  std::string up(32, '\0');
  std::iota(up.begin(), up.end(), '\0');
  EXPECT_EQ(crc(up), 0x46DD794Eu);
  EXPECT_EQ(crc(std::string(up.rbegin(), up.rend())), 0x113FDB5Cu);
}

// Past the lanes of the fast path.
TEST(Crc32c, LongDataEqualsTheSumOfItsParts) {
  const std::string s = counting(60000);
  for (const size_t n : {4095, 4096, 12287, 12288, 12289, 24576, 30000, 59999}) {
    uint32_t whole = ~0u;
    for (size_t i = 0; i < n; ++i) {
      whole ^= static_cast<unsigned char>(s[i]);
      for (int k = 0; k < 8; ++k) whole = whole & 1 ? (whole >> 1) ^ 0x82F63B78u : whole >> 1;
    }
    EXPECT_EQ(crc32c(s.data(), n), ~whole) << n;
    EXPECT_EQ(crc32c(s.data() + n, s.size() - n, crc32c(s.data(), n)), crc32c(s.data(), s.size())) << n;
  }
}

TEST(Crc32c, EqualsItsDefinitionAndGoesOnAnywhere) {
  const std::string s = counting(67);
  for (size_t n = 0; n <= s.size(); ++n) {
    uint32_t slow = ~0u;  // bit by bit
    for (size_t i = 0; i < n; ++i) {
      slow ^= static_cast<unsigned char>(s[i]);
      for (int k = 0; k < 8; ++k) slow = slow & 1 ? (slow >> 1) ^ 0x82F63B78u : slow >> 1;
    }
    EXPECT_EQ(crc32c(s.data(), n), ~slow) << n;
    EXPECT_EQ(crc32c(s.data() + n, s.size() - n, crc32c(s.data(), n)), crc32c(s.data(), s.size())) << n;
  }
}

TEST(Xxh3, KnownVectors) {  // xxHash 0.8, XXH3_64bits with seed 0
  EXPECT_EQ(hex(xxh3("", 0)), "2d06800538d394c2");
  EXPECT_EQ(hex(xxh3("a", 1)), "e6c632b61e964e1f");
  EXPECT_EQ(hex(xxh3("abc", 3)), "78af5f94892f3950");
}

TEST(Xxh3, StreamsGiveTheSame) {
  const std::string s = counting(5000);
  for (size_t step : {1u, 7u, 256u, 4999u}) {
    Xxh3 stream;
    for (size_t i = 0; i < s.size(); i += step) stream.update(s.data() + i, std::min(step, s.size() - i));
    EXPECT_EQ(stream.value(), xxh3(s.data(), s.size())) << step;
    EXPECT_EQ(stream.value(), stream.value());
  }
}

TEST(Sha256, KnownVectors) {  // FIPS 180-4 examples
  EXPECT_EQ(Sha256().hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256().update("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256().update("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq").hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 million;
  for (int i = 0; i < 1000; ++i) million.update(std::string(1000, 'a'));
  EXPECT_EQ(million.hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Hex, HasSixteenDigits) {
  EXPECT_EQ(hex(0), "0000000000000000");
  EXPECT_EQ(hex(0xabcdef), "0000000000abcdef");
}

}  // namespace
}  // namespace tw
