#include "src/generate/nearest_passage.h"

#include <gtest/gtest.h>

#include <random>

namespace tw {
namespace {

std::string letters(size_t bytes, uint32_t seed, int kinds = 26) {
  std::mt19937 random(seed);
  std::string text(bytes, 'a');
  for (char& c : text) c = char('a' + int(random() % unsigned(kinds)));
  return text;
}

struct Read {
  std::vector<std::string> documents;
  size_t piece = 100;
  int readers = 1;
};

std::vector<NearestPassage> nearest(const std::vector<std::string>& texts, const Read& read) {
  const PassageSearch search(texts);
  std::vector<PassageSearch::Reader> readers(size_t(read.readers), PassageSearch::Reader(search));
  for (size_t d = 0; d < read.documents.size(); ++d) {
    PassageSearch::Reader& reader = readers[d % readers.size()];
    reader.begin_document(int64_t(d));
    for (size_t at = 0; at < read.documents[d].size(); at += read.piece) reader.feed(std::string_view(read.documents[d]).substr(at, read.piece));
    reader.end_document();
  }
  return search.result(readers);
}

// The same by trying everything.
int64_t longest_by_trial(const std::string& text, const std::string& document) {
  int64_t best = 0;
  for (size_t i = 0; i < document.size(); ++i)
    for (size_t j = 0; j < text.size(); ++j) {
      size_t n = 0;
      while (i + n < document.size() && j + n < text.size() && document[i + n] == text[j + n]) ++n;
      best = std::max(best, int64_t(n));
    }
  return best >= 8 ? best : 0;
}

TEST(PassageSearch, FindsTheLongestEqualPart) {
  const std::string copied = "the pump starts when valve 7 is open";
  const std::vector<std::string> documents = {letters(300000, 1), letters(5000, 2) + copied + letters(200000, 3), "short", copied.substr(0, 20)};
  const std::string sample = letters(80, 4) + copied + letters(30, 5);
  for (const size_t piece : {size_t(1) << 20, size_t(777)}) {
    for (const int readers : {1, 3}) {
      const auto found = nearest({"unrelated 123456", sample, "tiny"}, {documents, piece, readers});
      EXPECT_EQ(found[1].document, 1);
      EXPECT_GE(found[1].longest_match, int64_t(copied.size()));
      EXPECT_LE(found[1].longest_match, int64_t(copied.size()) + 2);
      EXPECT_NE(found[1].text.find(copied), std::string::npos);
      EXPECT_NEAR(found[1].overlap, double(copied.size() - 7) / double(sample.size() - 7), 0.03);
      EXPECT_EQ(found[0].document, -1);
      EXPECT_EQ(found[0].overlap, 0);
      EXPECT_EQ(found[2].document, -1) << "shorter than a run";
    }
  }
}

TEST(PassageSearch, AgreesWithTrial) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const std::string text = letters(300, seed, 3), document = letters(3000, seed + 100, 3);
    const auto found = nearest({text}, {{document}, 1000, 1});
    EXPECT_EQ(found[0].longest_match, longest_by_trial(text, document)) << seed;
  }
}

TEST(PassageSearch, ACopyOverlapsWhole) {
  const std::string document = letters(50000, 7);
  const auto found = nearest({document.substr(20000, 3000)}, {{document}, 4096, 2});
  EXPECT_EQ(found[0].longest_match, 3000);
  EXPECT_EQ(found[0].overlap, 1);
}

TEST(PassageSearch, TextThatRepeatsItselfEnds) {
  const auto found = nearest({std::string(10000, 'a')}, {{std::string(300000, 'a')}, 1 << 16, 1});
  EXPECT_EQ(found[0].overlap, 1);
  EXPECT_GE(found[0].longest_match, 8);
}

TEST(PassageSearch, WholeCharactersAreShown) {
  std::string document;
  for (int i = 0; i < 2000; ++i) document += "äöü";
  const auto found = nearest({"Übermäßig äöüäöüäöü"}, {{document + "Übermäßig" + document}, 333, 1});
  EXPECT_EQ(found[0].text.find("\xEF\xBF\xBD"), std::string::npos) << "no broken character";
}

}  // namespace
}  // namespace tw
