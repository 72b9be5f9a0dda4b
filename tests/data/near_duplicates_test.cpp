#include "src/data/near_duplicates.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "src/core/error.h"

namespace tw {
namespace {

std::string words(uint32_t seed, int n) {
  std::string text;
  for (int i = 0; i < n; ++i) {
    seed = seed * 1664525 + 1013904223;
    text += "w" + std::to_string(seed >> 20) + " ";
  }
  return text;
}

Signature signature(std::string_view text, size_t piece = std::string::npos) {
  SignatureBuilder builder;
  for (size_t i = 0; i < text.size(); i += std::min(piece, text.size())) builder.feed(text.substr(i, piece));
  return builder.finish();
}

std::set<std::string> shingles(const std::string& text) {
  std::vector<std::string> all;
  std::string word;
  for (const char c : text + " ")
    if (c != ' ') word += c;
    else if (!word.empty()) all.push_back(word), word.clear();
  std::set<std::string> out;
  for (size_t i = 0; i + 5 <= all.size(); ++i) out.insert(all[i] + " " + all[i + 1] + " " + all[i + 2] + " " + all[i + 3] + " " + all[i + 4]);
  return out;
}

double jaccard(const std::string& a, const std::string& b) {
  const auto x = shingles(a), y = shingles(b);
  size_t both = 0;
  for (const std::string& s : x) both += y.contains(s);
  return double(both) / double(x.size() + y.size() - both);
}

TEST(NearDuplicates, TheEstimateIsThatOfTheSets) {
  double sum = 0;
  int n = 0;
  for (const int own : {0, 20, 60, 100, 200, 400, 800})
    for (uint32_t seed = 1; seed <= 20; ++seed) {
      const std::string common = words(seed, 800);
      const std::string a = common + words(seed + 1000, own), b = common + words(seed + 2000, own);
      const double exact = jaccard(a, b), estimate = similarity(signature(a), signature(b));
      EXPECT_NEAR(estimate, exact, 4.5 * std::sqrt(std::max(exact * (1 - exact), 1e-3) / 128)) << own << " " << seed;
      sum += estimate - exact, ++n;
    }
  EXPECT_NEAR(sum / n, 0, 0.01) << "no bias";
}

TEST(NearDuplicates, WhereTheTextIsCutAndItsCaseDoNotMatter) {
  const std::string text = words(7, 300);
  std::string loud = text;
  for (char& c : loud) c = char(std::toupper(c));
  for (const size_t piece : {1u, 3u, 1000u}) EXPECT_EQ(signature(text), signature(text, piece));
  EXPECT_EQ(signature(text), signature(loud));
  EXPECT_EQ(signature("one, two; three"), signature("one two three"));
  EXPECT_NE(signature("one two three"), signature("one two"));
  EXPECT_EQ(similarity(signature(""), signature("")), 0) << "no words are like nothing";
  EXPECT_EQ(similarity(signature(" .,\n"), signature(text)), 0);
}

TEST(NearDuplicates, EachIsDroppedForAnEarlierOneThatIsKept) {
  const std::string a = words(1, 1000), b = words(2, 1000);
  std::vector<Signature> all = {signature(a), signature(b), signature(a + words(3, 30)), signature(""), signature(b + words(4, 20)), signature(""),
                                signature(words(5, 1000))};
  std::vector<const Signature*> documents;
  for (const Signature& s : all) documents.push_back(&s);
  const auto found = find_near_duplicates(documents, 0.8);
  std::vector<int32_t> of;
  for (const NearDuplicate& d : found) of.push_back(d.of);
  EXPECT_THAT(of, testing::ElementsAre(-1, -1, 0, -1, 1, -1, -1));
  EXPECT_GT(found[2].similarity, 0.9);
  EXPECT_THROW(find_near_duplicates(documents, 0.2), Error);
}

TEST(NearDuplicates, PairsJustAboveTheThresholdAreFoundAndVeryManyEqualOnesCostLittle) {
  std::vector<Signature> all;
  for (uint32_t seed = 1; seed <= 300; ++seed) {
    const std::string common = words(seed, 900);
    all.push_back(signature(common + words(seed + 5000, 60))), all.push_back(signature(common + words(seed + 9000, 60)));
  }
  for (int i = 0; i < 20000; ++i) all.push_back(signature("the same short text in all of these files"));
  std::vector<const Signature*> documents;
  for (const Signature& s : all) documents.push_back(&s);
  const auto found = find_near_duplicates(documents, 0.8);
  int missed = 0;
  for (size_t i = 0; i < 600; i += 2) missed += similarity(all[i], all[i + 1]) >= 0.8 && found[i + 1].of != int32_t(i);
  EXPECT_LE(missed, 3);
  for (size_t i = 601; i < all.size(); ++i) ASSERT_EQ(found[i].of, 600);
}

}  // namespace
}  // namespace tw
