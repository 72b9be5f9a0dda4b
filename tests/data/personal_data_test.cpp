#include "src/data/personal_data.h"

#include <gmock/gmock.h>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/utf8.h"
#include "src/data/language.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
using Kind = PersonalKind;

struct Result {
  std::string text;
  PersonalCounts counts;
};
Result masked(std::string_view text, size_t piece = std::string::npos, const PersonalMask& mask = PersonalMask({"all"})) {
  Result r;
  PersonalData data(mask, [&](std::string_view out) { r.text += out; });
  for (size_t i = 0; i < text.size(); i += std::min(piece, text.size())) data.feed(text.substr(i, piece));
  data.end();
  r.counts = data.counts();
  return r;
}

TEST(PersonalData, IsFound) {
  for (const auto& [text, want] : std::initializer_list<std::pair<const char*, const char*>>{
           {"Write to jörg.m+x@mail.example.org.", "Write to [EMAIL]."},
           {"<a@b.de>, mailto:c.d@e-f.co.uk?x", "<[EMAIL]>, mailto:[EMAIL]?x"},
           {"IBAN DE89 3704 0044 0532 0130 00, bitte", "IBAN [IBAN], bitte"},
           {"GB82WEST12345698765432", "[IBAN]"},
           {"Tel. 089/1234567", "Tel. [PHONE]"},
           {"call +49 (0)89 123-4567 now", "call [PHONE] now"},
           {"0049 89 1234567", "[PHONE]"},
           {"(415) 555-1212", "[PHONE]"},
           {"Fax: 01 23 45 67 89", "Fax: [PHONE]"},
           {"card 4111 1111 1111 1111 ok", "card [CARD] ok"},
           {"378282246310005", "[CARD]"},
           {"AKIAIOSFODNN7EXAMPLE", "[KEY]"},
           {"token ghp_16C7e42F292c6912E7710c838347Ae178B4a end", "token [KEY] end"},
           {"password = \"x8Kq-22pL9vZ\"", "password = \"[KEY]\""},
           {"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\nafter", "[KEY]\nafter"}})
    EXPECT_EQ(masked(text).text, want) << text;
}

TEST(PersonalData, IsNotSeenWhereThereIsNone) {
  for (const char* text :
       {"DE89 3704 0044 0532 0130 01 has wrong check digits", "GB82 is no account", "version 1.2.3.4 of 2026-11-25", "ISBN 978-3-16-148410-0",
        "4111 1111 1111 1112", "0000 0014 95dc 0014 9514 0035 1670 0034 db30", "00 00 00 01 02 03 04 05 06 07 08 09", "+192.168.0.100", "+999999999-12-31",
        "922337203685477.5807 +922337203685477.5807", "the password must be long", "password: required", "@decorator", "a@b", "user@localhost",
        "3.14159265358979323846", "1 000 000 000 000 EUR", "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "x@2x.png is an image",
        "+1994-02-25 in a patch", "\\CharToken= #1\\relax8 \\endgroup", "the key to success = work"}) {
    const Result r = masked(text);
    EXPECT_EQ(r.text, text);
    EXPECT_EQ(r.counts, PersonalCounts{}) << text;
  }
}

TEST(PersonalData, OnlyWhatWasAskedForIsMaskedAndAllIsCounted) {
  const std::string text = "a@b.example, 0049 89 1234567, c@d.example\n";
  const Result r = masked(text, std::string::npos, PersonalMask({"phone"}));
  EXPECT_EQ(r.text, "a@b.example, [PHONE], c@d.example\n");
  EXPECT_EQ(r.counts[size_t(Kind::email)], 2);
  EXPECT_EQ(r.counts[size_t(Kind::phone)], 1);
  EXPECT_EQ(masked(text, std::string::npos, PersonalMask()).text, text);
  EXPECT_EQ(PersonalMask({"key", "email"}).str(), "email,key");
  EXPECT_TRUE(PersonalMask(std::vector<std::string>{}).empty());
  EXPECT_THROW(PersonalMask({"emails"}), Error);
}

TEST(PersonalData, WhereTheTextIsCutChangesNothing) {
  const std::string text = "Zeile mit ä und a@b.example\nTel. 089/1234567 oder +49 89 4366\u00a05522\n-----BEGIN RSA PRIVATE KEY-----\nabc\ndef\n"
                           "-----END RSA PRIVATE KEY-----\nDE89 3704 0044 0532 0130 00\nlast line AKIAIOSFODNN7EXAMPLE";
  const Result whole = masked(text);
  for (const size_t piece : {1u, 2u, 3u, 7u, 64u}) {
    const Result r = masked(text, piece);
    EXPECT_EQ(r.text, whole.text) << piece;
    EXPECT_EQ(r.counts, whole.counts) << piece;
  }
  EXPECT_EQ(whole.counts[size_t(Kind::key)], 2);
  // Nothing is left that would be found again.
  EXPECT_EQ(masked(whole.text).counts, PersonalCounts{});
}

TEST(PersonalData, LongLinesAndOpenKeysComeOutWhole) {
  std::string text(300000, 'x');
  text += " a@b.example ";
  text += std::string(300000, '7') + "\n-----BEGIN PRIVATE KEY-----\nnever closed\n" + std::string(200000, 'k') + "\nend\n";
  for (const size_t piece : {1000u, 100000u}) {
    const Result r = masked(text, piece, PersonalMask({"email"}));
    EXPECT_GE(r.text.size() + 20, text.size());
    EXPECT_TRUE(is_utf8(r.text));
  }
}

TEST(Language, OfEnoughText) {
  EXPECT_EQ(language_of("Die Pumpe wird nur gestartet, wenn das Ventil geöffnet ist und der Druck stimmt."), "de");
  EXPECT_EQ(language_of("The pump may only be started when the valve is open and the pressure is right."), "en");
  EXPECT_EQ(language_of("La pompe ne doit être démarrée que si la vanne est ouverte et la pression correcte."), "fr");
  EXPECT_EQ(language_of("Насос можно запускать только при открытом клапане и нормальном давлении."), "ru");
  EXPECT_EQ(language_of("ポンプは、バルブが開いていて圧力が正しい場合にのみ始動できます。"), "ja");
  EXPECT_EQ(language_of("4711 0815"), "");
  EXPECT_EQ(language_of(""), "");
  EXPECT_EQ(language_of(std::string("\xE3\x83", 2)), "") << "cut within a character";
}

}  // namespace
}  // namespace tw
