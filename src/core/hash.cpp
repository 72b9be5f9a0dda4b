#include "src/core/hash.h"

#include <fmt/core.h>
#include <openssl/evp.h>
#include <xxhash.h>

#include <array>
#include <cstring>

#include "src/core/error.h"

namespace tw {
namespace {

using Table = std::array<uint32_t, 256>;
constexpr Table make_table() {
  Table t{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = c & 1 ? (c >> 1) ^ 0x82F63B78u : c >> 1;
    t[i] = c;
  }
  return t;
}
constexpr Table kTable = make_table();

uint32_t crc32c_portable(const unsigned char* p, size_t n, uint32_t crc) noexcept {
  for (; n; --n, ++p) crc = kTable[(crc ^ *p) & 255] ^ (crc >> 8);
  return crc;
}

#if defined(__x86_64__)
// The instruction takes three cycles but can begin each cycle: three lanes of the data go side by side, and their sums are
// joined by what kLane zero bytes behind a sum make of it, which is linear in its bits.
constexpr size_t kLane = 4096;
class LaneShift {
 public:
  LaneShift() noexcept {
    static const unsigned char zeros[kLane] = {};
    for (int byte = 0; byte < 4; ++byte)
      for (uint32_t bit = 1; bit < 256; bit *= 2) {
        const uint32_t shifted = crc32c_portable(zeros, kLane, bit << 8 * byte);
        for (uint32_t v = 0; v < bit; ++v) table_[byte][bit + v] = table_[byte][v] ^ shifted;
      }
  }
  uint32_t operator()(uint32_t crc) const noexcept {
    return table_[0][crc & 255] ^ table_[1][crc >> 8 & 255] ^ table_[2][crc >> 16 & 255] ^ table_[3][crc >> 24];
  }

 private:
  uint32_t table_[4][256] = {};
};

__attribute__((target("sse4.2"))) uint32_t crc32c_sse42(const unsigned char* p, size_t n, uint32_t crc) noexcept {
  uint64_t c = crc;
  if (n >= 3 * kLane) {
    static const LaneShift shift;
    for (; n >= 3 * kLane; n -= 3 * kLane, p += 3 * kLane) {
      uint64_t second = 0, third = 0;
      for (size_t i = 0; i < kLane; i += 8) {
        uint64_t words[3];
        for (size_t lane = 0; lane < 3; ++lane) std::memcpy(&words[lane], p + lane * kLane + i, 8);
        c = __builtin_ia32_crc32di(c, words[0]);
        second = __builtin_ia32_crc32di(second, words[1]);
        third = __builtin_ia32_crc32di(third, words[2]);
      }
      c = shift(shift(uint32_t(c)) ^ uint32_t(second)) ^ uint32_t(third);
    }
  }
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    c = __builtin_ia32_crc32di(c, word);
  }
  uint32_t r = uint32_t(c);
  for (; n; --n, ++p) r = __builtin_ia32_crc32qi(r, *p);
  return r;
}
#endif

}  // namespace

uint32_t crc32c(const void* data, size_t bytes, uint32_t crc) noexcept {
  const auto* p = static_cast<const unsigned char*>(data);
#if defined(__x86_64__)
  static const bool fast = __builtin_cpu_supports("sse4.2");
  if (fast) return ~crc32c_sse42(p, bytes, ~crc);
#endif
  return ~crc32c_portable(p, bytes, ~crc);
}

uint64_t xxh3(const void* data, size_t bytes) noexcept { return XXH3_64bits(data, bytes); }
std::string hex(uint64_t value) { return fmt::format("{:016x}", value); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  TW_CHECK(context_ && EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr) == 1, bug,
           "SHA-256 could not be started");
}
Sha256::~Sha256() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }
Sha256& Sha256::update(const void* data, size_t bytes) {
  TW_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), data, bytes) == 1, bug, "SHA-256 update failed");
  return *this;
}
std::string Sha256::hex() {
  unsigned char digest[32];
  TW_CHECK(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), digest, nullptr) == 1, bug, "SHA-256 final failed");
  std::string s;
  for (unsigned char c : digest) s += fmt::format("{:02x}", c);
  return s;
}

Xxh3::Xxh3() : state_(XXH3_createState()) {
  TW_CHECK(state_, bug, "XXH3 state could not be made");
  XXH3_64bits_reset(static_cast<XXH3_state_t*>(state_));
}
Xxh3::~Xxh3() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }
Xxh3& Xxh3::update(const void* data, size_t bytes) {
  XXH3_64bits_update(static_cast<XXH3_state_t*>(state_), data, bytes);
  return *this;
}
uint64_t Xxh3::value() const { return XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state_)); }

}  // namespace tw
