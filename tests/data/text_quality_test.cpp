#include "src/data/text_quality.h"

#include <gmock/gmock.h>

#include "src/data/scan.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {
using testing::HasSubstr;

std::string why(std::string_view text, size_t step = 1 << 20) {
  TextQuality quality;
  for (size_t at = 0; at < text.size(); at += step) quality.feed(text.substr(at, step));
  return quality.finish();
}

std::string prose(int lines) {
  std::string text;
  for (int i = 0; i < lines; ++i) text += "Line " + std::to_string(i) + " tells how the pump is opened, cleaned and closed again.\n";
  return text;
}

TEST(TextQuality, EachRuleSaysWhatItFound) {
  EXPECT_EQ(why(prose(20)), "");
  EXPECT_EQ(why("Der Schalter für die Größe der Öffnung befindet sich über dem Gehäuse. " + prose(10)), "");
  EXPECT_EQ(why("Too short."), "2 words");
  EXPECT_EQ(why(""), "0 words");
  std::string text;
  for (int i = 0; i < 100; ++i) text += "a b c" + std::to_string(i % 10) + "\n";
  EXPECT_THAT(why(text), HasSubstr("letters on average"));
  text.clear();
  for (int i = 0; i < 100; ++i) text += std::to_string(i * 1234567) + " word\n";
  EXPECT_THAT(why(text), HasSubstr("50 % of its words have letters"));
  text.clear();
  for (int i = 0; i < 50; ++i) text += "tag" + std::to_string(i) + " #one and #two\n";
  EXPECT_THAT(why(text), HasSubstr("in 100 words"));
  text.clear();
  for (int i = 0; i < 30; ++i) text += "- item number" + std::to_string(i) + " of this list\n";
  EXPECT_THAT(why(text), HasSubstr("100 % of its lines begin with a bullet"));
  text.clear();
  for (int i = 0; i < 30; ++i) text += "A long teaser number" + std::to_string(i) + " that goes on and on without an end" + (i % 2 ? "...\n" : "…\n");
  EXPECT_THAT(why(text), HasSubstr("end with an ellipsis"));
  text = prose(10) + prose(10);
  EXPECT_THAT(why(text), HasSubstr("50 % of its lines were there before"));
  text = prose(20);
  for (int i = 0; i < 4; ++i) text += "One very long line that is said again and again because somebody pasted it into the page without looking at what stood there, and again, and again, and once more.\n";
  EXPECT_THAT(why(text), HasSubstr("of it are lines that were there before"));
  for (const size_t step : {size_t(1), size_t(7)}) EXPECT_EQ(why(text, step), why(text)) << "how it is cut changes nothing";
  EXPECT_EQ(why(std::string(300000, 'x')), "5 words") << "a line without end";
}

TEST(TextQuality, DocumentsAreLeftOutByLanguageAndQualityWhereAskedFor) {
  const ScratchFolder folder;
  folder.write("docs/english.txt", prose(20));
  folder.write("docs/german.txt", "Die Pumpe wird geöffnet, gereinigt und wieder geschlossen, bevor sie an den Kreislauf angeschlossen wird und der Schalter betätigt werden darf. "
                                  "Danach ist zu prüfen, ob das Gehäuse dicht ist und ob die Anzeige den richtigen Druck angibt, sonst muss der Kundendienst gerufen werden. "
                                  "Auch die übrigen Teile sind zu reinigen und auf ihren Sitz zu prüfen, wie es im dritten Kapitel beschrieben ist.\n");
  folder.write("docs/numbers.txt", [] {
    std::string text;
    for (int i = 0; i < 100; ++i) text += std::to_string(i * 7919) + " " + std::to_string(i) + "\n";
    return text;
  }());
  folder.write("docs/main.c", "int main(void) { return 0; }\n");
  const auto states = [&](const ScanOptions& options) {
    std::string all;
    for (const ScannedFile& f : scan(folder / "docs", options).files) all += f.path + (f.state == FileState::used ? " used; " : f.state == FileState::filtered ? " filtered; " : " other; ");
    return all;
  };
  EXPECT_EQ(states({}), "english.txt used; german.txt used; main.c used; numbers.txt used; ");
  EXPECT_EQ(states({.quality = true}), "english.txt used; german.txt used; main.c used; numbers.txt filtered; ");
  EXPECT_EQ(states({.languages = {"de"}}), "english.txt filtered; german.txt used; main.c used; numbers.txt filtered; ");
  EXPECT_EQ(states({.languages = {"de", "unknown"}}), "english.txt filtered; german.txt used; main.c used; numbers.txt used; ");
  const Inventory inventory = scan(folder / "docs", {.languages = {"de"}});
  EXPECT_THAT(inventory.table(), HasSubstr("english.txt: its language is en"));
  write_inventory(inventory, folder / "inventory.json");
  EXPECT_EQ(read_inventory(folder / "inventory.json").fingerprint(), inventory.fingerprint());
}

}  // namespace
}  // namespace tw
