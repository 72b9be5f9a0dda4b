// Secrets and personal data in text: found, counted, and on request put out of sight.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

enum class PersonalKind : uint8_t { email, iban, phone, card, key };
inline constexpr std::array<PersonalKind, 5> kPersonalKinds = {PersonalKind::email, PersonalKind::iban, PersonalKind::phone, PersonalKind::card,
                                                               PersonalKind::key};
const char* name_of(PersonalKind kind) noexcept;  // "email", "iban", "phone", "card", "key"

using PersonalCounts = std::array<int64_t, 5>;  // by kind

// A set of kinds. "all" or names; Error(config) names data.mask.
class PersonalMask {
 public:
  PersonalMask() = default;
  explicit PersonalMask(const std::vector<std::string>& names);
  bool has(PersonalKind kind) const noexcept { return bits_ >> unsigned(kind) & 1; }
  bool empty() const noexcept { return bits_ == 0; }
  std::string str() const;  // "email,iban"; "" = none
  bool operator==(const PersonalMask&) const = default;

 private:
  uint32_t bits_ = 0;
};

// Finds, in text that comes in pieces:
//   email  addresses whose domain ends in letters (RFC 5321 without quoted names);
//   iban   with the length of its country and the right check digits (ISO 13616, ISO 7064 mod 97-10), in groups or not;
//   phone  +CC or 00CC numbers of 8 to 15 digits (ITU-T E.164), (NNN) NNN-NNNN, and other numbers of 6 digits or more
//          behind a word for telephone or fax;
//   card   payment cards by prefix, length and Luhn digit (ISO/IEC 7812);
//   key    blocks of private keys (PEM), access keys of known services by their form, JSON web tokens, and what is set as
//          a password, secret or token where it looks random.
// Where the text is cut into pieces changes nothing, but in lines of more than 64 KiB. Time is linear.
class PersonalData {
 public:
  // Calls take() with the text, in which what is of a kind of `mask` is replaced by "[EMAIL]" and so on. A null take
  // counts alone.
  explicit PersonalData(PersonalMask mask = {}, std::function<void(std::string_view)> take = {});
  void feed(std::string_view piece);
  void end();  // of a document
  const PersonalCounts& counts() const noexcept { return counts_; }

 private:
  void lines(bool end);
  void line(std::string_view text);
  void put(std::string_view text);
  PersonalMask mask_;
  std::function<void(std::string_view)> take_;
  PersonalCounts counts_{};
  std::string held_, out_;
  int64_t key_block_ = -1;  // bytes of an open block of a private key; -1 = outside
};

}  // namespace tw
