#include "src/data/personal_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "src/core/error.h"

namespace tw {
namespace {

constexpr size_t kLongestLine = size_t(1) << 16;
constexpr int64_t kLongestKeyBlock = int64_t(1) << 16;  // a key of 16,384 bits takes 13 KiB
constexpr std::array<const char*, 5> kNames = {"email", "iban", "phone", "card", "key"};
constexpr std::array<const char*, 5> kMarks = {"[EMAIL]", "[IBAN]", "[PHONE]", "[CARD]", "[KEY]"};

bool digit(char c) { return c >= '0' && c <= '9'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool letter(char c) { return upper(c) || (c >= 'a' && c <= 'z'); }
bool alnum(char c) { return digit(c) || letter(c); }
char lower(char c) { return upper(c) ? char(c + 32) : c; }
bool local_part(char c) { return alnum(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-'; }

// Letters and digits of other scripts count as part of a word.
bool word(char c) { return alnum(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80; }
bool begins_word(std::string_view s, size_t i) { return i == 0 || !word(s[i - 1]); }
bool ends_word(std::string_view s, size_t end) { return end >= s.size() || !word(s[end]); }

// x@2x.png
bool names_file(std::string_view ending) {
  constexpr std::string_view kEndings[] = {"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html"};
  return std::find(std::begin(kEndings), std::end(kEndings), ending) != std::end(kEndings);
}

// Each of these returns the end of what begins at i, or 0.

size_t email(std::string_view s, size_t i) {
  size_t at = i;
  while (at < s.size() && at - i <= 64) {
    const auto c = static_cast<unsigned char>(s[at]);
    if (local_part(s[at])) ++at;
    else if (c >= 0xC3 && c <= 0xC9 && at + 1 < s.size()) at += 2;  // Latin letters with marks (RFC 6531)
    else break;
  }
  if (at == i || at - i > 64 || at >= s.size() || s[at] != '@' || !alnum(s[i]) || s[at - 1] == '.') return 0;
  size_t end = 0, label = at + 1;
  int labels = 0;
  for (size_t j = label;; ++j) {
    if (j < s.size() && j - at <= 255 && (alnum(s[j]) || s[j] == '-' || static_cast<unsigned char>(s[j]) >= 0x80)) continue;
    if (j == label || j - label > 63 || s[label] == '-' || s[j - 1] == '-') break;
    ++labels;
    // The last label is of letters: package@1.2.3 is none.
    const bool letters = std::all_of(s.begin() + long(label), s.begin() + long(j), [](char c) { return !digit(c); }) || s.substr(label, 4) == "xn--";
    if (labels >= 2 && letters && j - label >= 2 && !names_file(s.substr(label, j - label))) end = j;
    if (j >= s.size() || s[j] != '.') break;
    label = j + 1;
  }
  return end;
}

struct IbanLength {
  char country[3];
  uint8_t length;
};
constexpr IbanLength kIbanLengths[] = {  // SWIFT IBAN registry
    {"AD", 24}, {"AE", 23}, {"AL", 28}, {"AT", 20}, {"AZ", 28}, {"BA", 20}, {"BE", 16}, {"BG", 22}, {"BH", 22}, {"BI", 27}, {"BR", 29}, {"BY", 28},
    {"CH", 21}, {"CR", 22}, {"CY", 28}, {"CZ", 24}, {"DE", 22}, {"DJ", 27}, {"DK", 18}, {"DO", 28}, {"EE", 20}, {"EG", 29}, {"ES", 24}, {"FI", 18},
    {"FK", 18}, {"FO", 18}, {"FR", 27}, {"GB", 22}, {"GE", 22}, {"GI", 23}, {"GL", 18}, {"GR", 27}, {"GT", 28}, {"HN", 28}, {"HR", 21}, {"HU", 28},
    {"IE", 22}, {"IL", 23}, {"IQ", 23}, {"IS", 26}, {"IT", 27}, {"JO", 30}, {"KW", 30}, {"KZ", 20}, {"LB", 28}, {"LC", 32}, {"LI", 21}, {"LT", 20},
    {"LU", 20}, {"LV", 21}, {"LY", 25}, {"MC", 27}, {"MD", 24}, {"ME", 22}, {"MK", 19}, {"MN", 20}, {"MR", 27}, {"MT", 31}, {"MU", 30}, {"NI", 28},
    {"NL", 18}, {"NO", 15}, {"OM", 23}, {"PK", 24}, {"PL", 28}, {"PS", 29}, {"PT", 25}, {"QA", 29}, {"RO", 24}, {"RS", 22}, {"RU", 33}, {"SA", 24},
    {"SC", 31}, {"SD", 18}, {"SE", 24}, {"SI", 19}, {"SK", 24}, {"SM", 27}, {"SO", 23}, {"ST", 25}, {"SV", 28}, {"TL", 23}, {"TN", 24}, {"TR", 26},
    {"UA", 29}, {"VA", 22}, {"VG", 24}, {"XK", 20}, {"YE", 30}};

size_t iban(std::string_view s, size_t i) {
  if (i + 4 > s.size() || !upper(s[i]) || !upper(s[i + 1]) || !digit(s[i + 2]) || !digit(s[i + 3]) || !begins_word(s, i)) return 0;
  const auto country = std::find_if(std::begin(kIbanLengths), std::end(kIbanLengths),
                                    [&](const IbanLength& c) { return c.country[0] == s[i] && c.country[1] == s[i + 1]; });
  if (country == std::end(kIbanLengths)) return 0;
  char all[34];
  size_t n = 0, at = i;
  for (; at < s.size() && n < country->length; ++at) {
    if (digit(s[at]) || upper(s[at])) all[n++] = s[at];
    else if (s[at] != ' ' || at + 1 >= s.size() || s[at + 1] == ' ' || n < 4) return 0;
  }
  if (n != country->length || !ends_word(s, at)) return 0;
  unsigned rest = 0;
  for (size_t k = 0; k < n; ++k) {
    const char c = all[(k + 4) % n];
    rest = digit(c) ? (rest * 10 + unsigned(c - '0')) % 97 : (rest * 100 + unsigned(c - 'A') + 10) % 97;
  }
  return rest == 1 ? at : 0;
}

// Digits from i on, with single separators of `between` among them; fills in up to `most` and gives the end behind the
// last, or 0 where there are more.
size_t digits(std::string_view s, size_t i, std::string_view between, size_t most, std::string& found) {
  size_t end = i;
  for (size_t at = i; at < s.size(); ++at) {
    if (digit(s[at])) {
      if (found.size() == most) return 0;
      found += s[at], end = at + 1;
    } else if (between.find(s[at]) == between.npos || at == end + 2 || (at > end && s[at] == s[at - 1])) {
      break;
    }
  }
  return end;
}

size_t card(std::string_view s, size_t i) {
  if (!digit(s[i]) || !begins_word(s, i) || (i > 0 && (s[i - 1] == '.' || s[i - 1] == '-' || s[i - 1] == '+'))) return 0;
  std::string d;
  const size_t end = digits(s, i, " -", 19, d);
  if (end == 0 || d.size() < 13 || !ends_word(s, end) || (end + 1 < s.size() && s[end] == '.' && digit(s[end + 1]))) return 0;
  const int two = (d[0] - '0') * 10 + d[1] - '0', four = two * 100 + (d[2] - '0') * 10 + d[3] - '0';
  const size_t n = d.size();
  const bool known = (d[0] == '4' && (n == 13 || n == 16 || n == 19)) || (n == 16 && ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720))) ||
                     (n == 15 && (two == 34 || two == 37)) || (n == 14 && (two == 36 || two == 38 || (four >= 3000 && four <= 3059))) ||
                     (n >= 16 && (four == 6011 || two == 65 || (four >= 6440 && four <= 6499))) || (n == 16 && four >= 3528 && four <= 3589);
  if (!known || d.find_first_not_of(d[0]) == d.npos) return 0;
  // Groups of one or two digits are no card's.
  for (size_t at = i, group = 0; at <= end; ++at) {
    if (at < end && digit(s[at])) ++group;
    else if (group < 3) return 0;
    else group = 0;
  }
  int sum = 0;
  for (size_t k = 0; k < n; ++k) {
    const int v = d[n - 1 - k] - '0';
    sum += k % 2 == 0 ? v : v < 5 ? 2 * v : 2 * v - 9;
  }
  return sum % 10 == 0 ? end : 0;
}

// A word for telephone stands before i, with little between.
bool behind_telephone(std::string_view s, size_t i) {
  constexpr std::string_view kWords[] = {"tel", "phone", "fax", "fon", "mobil", "mobile", "handy", "telefon", "telefax", "telephone", "call", "hotline",
                                         "tél", "téléphone", "teléfono", "telefono", "puhelin", "cell"};
  size_t at = i;
  while (at > 0 && i - at < 6 && std::strchr(" .:;/()-", s[at - 1])) --at;
  size_t begin = at;
  while (begin > 0 && at - begin < 12 && word(s[begin - 1])) --begin;
  std::string name;
  for (size_t k = begin; k < at; ++k) name += lower(s[k]);
  if (std::find(std::begin(kWords), std::end(kWords), name) != std::end(kWords)) return true;
  // "Telefonnummer", "phone number"
  if (name != "number" && name != "no" && name != "nr" && name != "nummer") return name.starts_with("telefon") || name.starts_with("fax") || name.starts_with("rufnummer");
  while (begin > 0 && std::strchr(" .:-", s[begin - 1])) --begin;
  const std::string_view before = s.substr(0, begin);
  for (const std::string_view w : kWords) {
    if (before.size() < w.size()) continue;
    const std::string_view last = before.substr(before.size() - w.size());
    if (std::equal(last.begin(), last.end(), w.begin(), [](char a, char b) { return lower(a) == b; })) return true;
  }
  return false;
}

// Groups of digits: {4, 3, 2} of "0049 123 45".
std::vector<size_t> groups(std::string_view s) {
  std::vector<size_t> sizes;
  bool in = false;
  for (const char c : s) {
    if (digit(c) && !in) sizes.push_back(0);
    if ((in = digit(c))) ++sizes.back();
  }
  return sizes;
}

bool is_date(const std::string& digits, std::string_view number) {
  return digits.size() == 8 && number.size() == 10 && number[4] == '-' && number[7] == '-' && (digits.starts_with("19") || digits.starts_with("20"));
}

// What stands before i, behind blanks, has a digit in it: a table or a dump.
bool behind_number(std::string_view s, size_t i) {
  size_t at = i;
  while (at > 0 && (s[at - 1] == ' ' || s[at - 1] == '\t')) --at;
  for (; at > 0 && i - at < 24 && s[at - 1] != ' ' && s[at - 1] != '\t'; --at)
    if (digit(s[at - 1])) return true;
  return false;
}

size_t phone(std::string_view s, size_t i) {
  if (i > 0 && (word(s[i - 1]) || s[i - 1] == '+' || s[i - 1] == '.' || s[i - 1] == '=' || s[i - 1] == '/')) return 0;
  std::string d;
  size_t end = 0;
  if (s[i] == '+') {
    if (i + 1 >= s.size() || s[i + 1] < '1' || s[i + 1] > '9') return 0;
    end = digits(s, i + 1, " -./()", 15, d);
    if (end == 0 || d.size() < 8 || !ends_word(s, end) || d.starts_with("999")) return 0;
    if (is_date(d, s.substr(i + 1, end - i - 1))) return 0;  // +2026-11-25 in a patch
    if (end + 1 < s.size() && (s[end] == '.' || s[end] == ',') && digit(s[end + 1])) return 0;  // +922337203685477.5807
    const std::string_view number = s.substr(i, end - i);
    const bool address = std::count(number.begin(), number.end(), '.') == 3 && number.find_first_not_of("+.0123456789") == number.npos;
    return address && std::ranges::all_of(groups(number), [](size_t n) { return n <= 3; }) ? 0 : end;
  }
  if (s[i] == '(') {
    if (i + 13 > s.size() || s[i + 4] != ')') return 0;
    const size_t a = i + 5 + (s[i + 5] == ' ');
    if (a + 8 > s.size() || s[a + 3] != '-') return 0;
    for (const size_t k : {i + 1, i + 2, i + 3, a, a + 1, a + 2, a + 4, a + 5, a + 6, a + 7})
      if (!digit(s[k])) return 0;
    return ends_word(s, a + 8) ? a + 8 : 0;
  }
  if (!digit(s[i])) return 0;
  end = digits(s, i, " -/()", 17, d);
  if (end == 0 || !ends_word(s, end)) return 0;
  if (d.starts_with("00") && d.size() >= 10 && d[2] != '0') {
    const std::vector<size_t> sizes = groups(s.substr(i, end - i));
    const bool code_first = sizes.size() > 1 && sizes[0] >= 3 && sizes[0] <= 7;  // "0049 89 …", "004989 …"
    if (code_first && std::ranges::all_of(sizes, [](size_t n) { return n > 1; }) && !behind_number(s, i)) return end;
  }
  return d.size() >= 6 && d.size() <= 15 && behind_telephone(s, i) ? end : 0;
}

double entropy(std::string_view s) {
  std::array<int, 256> count{};
  for (const char c : s) ++count[static_cast<unsigned char>(c)];
  double bits = 0;
  for (const int n : count)
    if (n > 0) bits -= n * std::log2(double(n) / double(s.size()));
  return bits / double(s.size());
}

struct KeyForm {
  std::string_view prefix;
  size_t least, most;  // characters behind it
  bool dashes;         // - and _ are among them
};
constexpr KeyForm kKeyForms[] = {
    {"AKIA", 16, 16, false},    {"ASIA", 16, 16, false},       {"ghp_", 36, 255, false},  {"gho_", 36, 255, false},   {"ghu_", 36, 255, false},
    {"ghs_", 36, 255, false},   {"ghr_", 36, 255, false},      {"github_pat_", 60, 255, true}, {"glpat-", 20, 64, true}, {"xoxb-", 10, 255, true},
    {"xoxp-", 10, 255, true},   {"xoxa-", 10, 255, true},      {"xoxr-", 10, 255, true},  {"xoxs-", 10, 255, true},   {"AIza", 35, 35, true},
    {"sk_live_", 16, 255, false}, {"rk_live_", 16, 255, false}, {"sk-", 32, 255, true},   {"npm_", 36, 36, false},    {"hf_", 34, 40, false}};

size_t known_key(std::string_view s, size_t i) {
  for (const KeyForm& form : kKeyForms) {
    if (!s.substr(i).starts_with(form.prefix)) continue;
    size_t end = i + form.prefix.size();
    const size_t begin = end;
    while (end < s.size() && end - begin <= form.most && (alnum(s[end]) || (form.dashes && (s[end] == '-' || s[end] == '_')))) ++end;
    const size_t n = end - begin;
    if (n < form.least || n > form.most || (form.prefix.starts_with("A") && form.most == 16 && !std::all_of(s.begin() + long(begin), s.begin() + long(end), [](char c) { return digit(c) || upper(c); }))) continue;
    // Examples made of one letter, and names, are no keys.
    if (entropy(s.substr(begin, n)) < 2.5 || !std::any_of(s.begin() + long(begin), s.begin() + long(end), digit)) continue;
    return end;
  }
  return 0;
}

size_t web_token(std::string_view s, size_t i) {  // RFC 7519: three parts of base64url, the first two of them JSON objects
  if (!s.substr(i).starts_with("eyJ")) return 0;
  size_t at = i;
  for (int part = 0; part < 3; ++part) {
    const size_t begin = at;
    while (at < s.size() && (alnum(s[at]) || s[at] == '-' || s[at] == '_')) ++at;
    if (at - begin < 10 || (part == 1 && !s.substr(begin).starts_with("eyJ"))) return 0;
    if (part == 2) break;
    if (at >= s.size() || s[at] != '.') return 0;
    ++at;
  }
  return at;
}

// "password = Xy7…": the value's place, where one begins with a name of a secret at i.
bool named_secret(std::string_view s, size_t i, size_t& begin, size_t& end) {
  constexpr std::string_view kSecrets[] = {"password", "passwd", "pwd",           "passwort",      "kennwort", "secret", "secret_key", "secretkey", "client_secret",
                                           "token",    "api_key", "apikey",       "api-key",       "access_key", "access_token", "auth_token", "private_key", "mot_de_passe"};
  if (!letter(s[i])) return false;
  size_t name_end = i;
  while (name_end < s.size() && name_end - i <= 40 && (alnum(s[name_end]) || s[name_end] == '_' || s[name_end] == '-')) ++name_end;
  if (name_end - i > 40) return false;
  std::string name;
  for (size_t k = i; k < name_end; ++k) name += lower(s[k]);
  // Also DB_PASSWORD, aws_secret_access_key.
  if (std::none_of(std::begin(kSecrets), std::end(kSecrets), [&](std::string_view w) { return name.ends_with(w); })) return false;
  size_t at = name_end;
  if (at < s.size() && (s[at] == '"' || s[at] == '\'')) ++at;
  while (at < s.size() && s[at] == ' ') ++at;
  if (at >= s.size() || (s[at] != '=' && s[at] != ':')) return false;
  ++at;
  while (at < s.size() && (s[at] == ' ' || s[at] == '"' || s[at] == '\'' || s[at] == '>' || s[at] == '=')) ++at;
  begin = at;
  while (at < s.size() && at - begin <= 256 && static_cast<unsigned char>(s[at]) > 0x20 && !std::strchr("\"'<>,;(){}[]`", s[at])) ++at;
  end = at;
  const std::string_view value = s.substr(begin, end - begin);
  // What looks random: letters and digits, no path, address or variable.
  return value.size() >= 8 && value.size() <= 256 && !std::strchr("$/#\\", value[0]) && value.find("://") == value.npos &&
         value.find('\\') == value.npos &&
         std::any_of(value.begin(), value.end(), digit) && std::any_of(value.begin(), value.end(), letter) && entropy(value) >= 2.75;
}

bool begins_key_block(std::string_view s, size_t i) {
  if (!s.substr(i).starts_with("-----BEGIN ")) return false;
  const size_t end = s.find("-----", i + 11);
  return end != s.npos && end - i < 60 && s.substr(i, end - i).ends_with("PRIVATE KEY");
}

}  // namespace

const char* name_of(PersonalKind kind) noexcept { return kNames[size_t(kind)]; }

PersonalMask::PersonalMask(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto known = std::find(kNames.begin(), kNames.end(), name);
    TW_CHECK(known != kNames.end() || name == "all", config, "data.mask = \"{}\" is not known: email, iban, phone, card, key, or all", name);
    bits_ |= name == "all" ? 31u : 1u << (known - kNames.begin());
  }
}

std::string PersonalMask::str() const {
  std::string text;
  for (const PersonalKind kind : kPersonalKinds)
    if (has(kind)) text += (text.empty() ? "" : ",") + std::string(name_of(kind));
  return text;
}

PersonalData::PersonalData(PersonalMask mask, std::function<void(std::string_view)> take) : mask_(mask), take_(std::move(take)) {}

void PersonalData::put(std::string_view text) {
  if (take_) out_ += text;
}

void PersonalData::feed(std::string_view piece) {
  held_ += piece;
  lines(false);
}

void PersonalData::end() {
  lines(true);
  key_block_ = -1;
}

void PersonalData::lines(bool end) {
  size_t at = 0;
  while (at < held_.size()) {
    size_t stop = held_.find('\n', at);
    if (stop != held_.npos) {
      ++stop;
    } else if (end) {
      stop = held_.size();
    } else {
      break;
    }
    // Very long lines are cut behind white space.
    while (stop - at > kLongestLine) {
      size_t cut = held_.rfind(' ', at + kLongestLine);
      if (cut == held_.npos || cut <= at) cut = at + kLongestLine;
      while (cut > at + 1 && (static_cast<unsigned char>(held_[cut]) & 0xC0) == 0x80) --cut;  // whole characters
      line(std::string_view(held_).substr(at, cut - at));
      at = cut;
    }
    line(std::string_view(held_).substr(at, stop - at));
    at = stop;
  }
  // A line that has no end yet must not be held for ever.
  while (!end && held_.size() - at > 2 * kLongestLine) {
    size_t cut = held_.rfind(' ', at + kLongestLine);
    if (cut == held_.npos || cut <= at) cut = at + kLongestLine;
    while (cut > at + 1 && (static_cast<unsigned char>(held_[cut]) & 0xC0) == 0x80) --cut;
    line(std::string_view(held_).substr(at, cut - at));
    at = cut;
  }
  held_.erase(0, at);
  if (take_ && !out_.empty()) take_(out_), out_.clear();
}

void PersonalData::line(std::string_view s) {
  size_t kept = 0;  // bytes of the line already given on or replaced
  const auto found = [&](PersonalKind kind, size_t begin, size_t end) {
    ++counts_[size_t(kind)];
    if (!mask_.has(kind)) return;
    put(s.substr(kept, begin - kept));
    put(kMarks[size_t(kind)]);
    kept = end;
  };
  size_t i = 0;
  if (key_block_ >= 0) {  // inside a private key
    const size_t end = s.find("-----END ");
    const size_t stop = end == s.npos ? s.npos : s.find("-----", end + 9);
    key_block_ += int64_t(s.size());
    if (end == s.npos && key_block_ < kLongestKeyBlock) {
      if (!mask_.has(PersonalKind::key)) put(s);
      return;
    }
    key_block_ = -1;
    i = stop == s.npos ? (end == s.npos ? 0 : s.size()) : stop + 5;
    if (mask_.has(PersonalKind::key)) kept = i;
  }
  // Most lines have nothing of what all that is looked for has.
  bool digits = false;
  for (const char c : s) digits |= digit(c);
  const bool address = s.find('@') != s.npos, token = s.find("eyJ") != s.npos, block = s.find("-----BEGIN ") != s.npos;
  const bool assigns = digits && s.find_first_of("=:") != s.npos;
  if (!digits && !address && !token && !block) i = s.size();
  while (i < s.size()) {
    const char c = s[i];
    size_t end = 0;
    if (alnum(c) && begins_word(s, i)) {
      size_t begin = 0;
      if (letter(c)) {
        if ((digits && (end = known_key(s, i))) || (token && (end = web_token(s, i)))) {
          found(PersonalKind::key, i, end);
        } else if (assigns && named_secret(s, i, begin, end)) {
          found(PersonalKind::key, begin, end);
        } else if ((end = iban(s, i))) {
          found(PersonalKind::iban, i, end);
        }
      } else if ((end = card(s, i))) {
        found(PersonalKind::card, i, end);
      } else if ((end = phone(s, i))) {
        found(PersonalKind::phone, i, end);
      }
      if (!end && address && (i == 0 || !local_part(s[i - 1])) && (end = email(s, i))) found(PersonalKind::email, i, end);
      if (!end) {  // the rest of the word
        end = i + 1;
        while (end < s.size() && word(s[end])) ++end;
      }
      i = end;
      continue;
    }
    if ((c == '+' || c == '(') && (end = phone(s, i))) {
      found(PersonalKind::phone, i, end);
      i = end;
    } else if (c == '-' && begins_key_block(s, i)) {
      const size_t close = s.find("-----END ", i);
      const size_t stop = close == s.npos ? s.npos : s.find("-----", close + 9);
      end = stop == s.npos ? s.size() : stop + 5;
      found(PersonalKind::key, i, end);
      if (stop == s.npos) key_block_ = int64_t(s.size() - i);
      i = end;
    } else {
      ++i;
    }
  }
  put(s.substr(std::min(kept, s.size())));
}

}  // namespace tw
