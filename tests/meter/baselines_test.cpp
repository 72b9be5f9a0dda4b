#include "src/meter/baselines.h"

#include <cmath>
#include <cstdio>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "src/core/error.h"

namespace tw {
namespace {

// Words drawn by a rule, so that longer contexts help, as they do in text.
std::string some_text(size_t bytes, uint32_t seed) {
  static const char* words[] = {"the ",    "energy ", "of ",       "a ",     "token ",    "is ",   "measured ", "in ",
                                "joules ", "and ",    "seconds, ", "while ", "training ", "goes ", "on.\n"};
  std::mt19937 random(seed);
  std::string text;
  uint32_t word = 0;
  while (text.size() < bytes) {
    word = (word * 7 + 3 + random() % 4) % 15;
    text += words[word];
  }
  text.resize(bytes);
  return text;
}

std::string noise(size_t bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = char(random() & 255);
  return text;
}

void expect_sum_one(const NgramBaseline& model, const std::string& context) {
  double sum = 0;
  for (int b = 0; b < 256; ++b) {
    const double p = model.probability(context, static_cast<unsigned char>(b));
    EXPECT_GT(p, 0);
    sum += p;
  }
  EXPECT_NEAR(sum, 1, 1e-12) << "after \"" << context << '"';
}

double cost(const NgramBaseline& model, const std::string& text) {
  NgramBaseline::Score score(model);
  score.feed(text);
  return score.bits_per_byte();
}

TEST(NgramBaseline, ProbabilitiesSumToOne) {
  for (int order = 0; order <= 5; ++order) {
    NgramBaseline model(order);
    expect_sum_one(model, "");  // nothing learnt: uniform
    EXPECT_DOUBLE_EQ(model.probability("", 'x'), 1.0 / 256);
    model.train(some_text(20000, 1));
    model.end_document();
    model.train(noise(3000, 2));
    model.end_document();
    model.train("a");
    model.end_document();
    for (const std::string context : {"", "e", "th", "the", "ing", "zzz", "token", "measu", "\xff\xfe\xfd"})
      expect_sum_one(model, context);
    const std::string bytes = noise(600, 3);
    for (size_t at = 0; at + 5 < bytes.size(); at += 3) expect_sum_one(model, bytes.substr(at, 5));
  }
}

TEST(NgramBaseline, SumsHoldWhereTheTableIsFull) {
  NgramBaseline model(3, 500);
  model.train(noise(20000, 5));
  model.train(some_text(20000, 5));
  for (const std::string context : {"", "t", "th", "the", "\x01\x02\x03"}) expect_sum_one(model, context);
  EXPECT_GT(cost(model, some_text(2000, 6)), 0);
  EXPECT_LT(cost(model, some_text(2000, 6)), 16);
}

TEST(NgramBaseline, LongerContextsPredictTextBetter) {
  double last = 8;
  for (int order = 0; order <= 5; ++order) {
    NgramBaseline model(order);
    model.train(some_text(200000, 1));
    const double bits = cost(model, some_text(20000, 2));
    EXPECT_LT(bits, last - (order <= 3 ? 0.1 : 0)) << "order " << order;
    last = bits;
  }
}

TEST(NgramBaseline, OrderZeroComesNearTheEntropy) {
  // Bytes with probabilities 1/2, 1/4, 1/8, 1/8: 1.75 bits.
  std::mt19937 random(3);
  const auto draw = [&](size_t n) {
    std::string text(n, 'a');
    for (char& c : text) {
      const uint32_t r = random() & 7;
      c = r < 4 ? 'a' : r < 6 ? 'b' : r == 6 ? 'c' : 'd';
    }
    return text;
  };
  NgramBaseline model(0);
  model.train(draw(400000));
  EXPECT_NEAR(cost(model, draw(100000)), 1.75, 0.01);
}

TEST(NgramBaseline, NoiseCostsEightBits) {
  NgramBaseline model;
  model.train(noise(100000, 1));
  const double bits = cost(model, noise(20000, 2));
  EXPECT_NEAR(bits, 8, 0.2);
  EXPECT_GT(bits, 8) << "nothing can be gained on noise";
}

TEST(NgramBaseline, PiecesAndDocumentsCountAsTold) {
  const std::string text = some_text(5000, 1), held_out = some_text(700, 2);
  NgramBaseline whole, pieces;
  whole.train(text);
  for (size_t at = 0; at < text.size(); at += 7) pieces.train(std::string_view(text).substr(at, 7));
  NgramBaseline::Score score(pieces);
  for (size_t at = 0; at < held_out.size(); at += 3) score.feed(std::string_view(held_out).substr(at, 3));
  EXPECT_DOUBLE_EQ(cost(whole, held_out), score.bits_per_byte());
  EXPECT_EQ(pieces.trained_bytes(), 5000);
  EXPECT_EQ(score.bytes(), 700);

  // No context reaches over the end of a document.
  NgramBaseline documents;
  for (int i = 0; i < 50; ++i) {
    documents.train("ab");
    documents.end_document();
  }
  EXPECT_GT(documents.probability("a", 'b'), 0.9);
  EXPECT_EQ(documents.probability("b", 'a'), documents.probability("", 'a')) << "nothing ever followed a b";
  NgramBaseline::Score apart(documents);
  apart.feed("a");
  apart.end_document();
  const double after_end = apart.bits_per_byte();
  apart.feed("a");
  EXPECT_DOUBLE_EQ(apart.bits_per_byte(), after_end) << "the second document begins like the first";
  EXPECT_TRUE(std::isnan(NgramBaseline::Score(documents).bits_per_byte()));
}

TEST(NgramBaseline, ScoringLearnsNothing) {
  NgramBaseline model;
  model.train(some_text(1000, 1));
  const double before = model.probability("xyz", 'q');
  for (int i = 0; i < 100; ++i) cost(model, "xyzq");
  EXPECT_EQ(model.probability("xyz", 'q'), before);
}

// Size of the text packed by a program.
double packed_bits(const std::string& program, const std::string& text) {
  const std::string path = testing::TempDir() + "tw_baseline";
  std::FILE* file = std::fopen(path.c_str(), "wb");
  EXPECT_TRUE(file && std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fclose(file) == 0);
  long long size = -1;
  std::FILE* pipe = ::popen((program + " -9 -c < '" + path + "' | wc -c").c_str(), "r");
  EXPECT_TRUE(pipe && std::fscanf(pipe, "%lld", &size) == 1);
  ::pclose(pipe);
  std::remove(path.c_str());
  return 8 * double(size);
}

TEST(Compressors, ProgramsThemselvesAgree) {
  for (const size_t size : {size_t(0), size_t(1), size_t(1000), size_t(300000)}) {
    const std::string text = some_text(size, 9) + noise(size / 100, 9);
    GzipText gzip;
    XzText xz(int64_t(text.size()));
    for (HeldOutText* packed : {static_cast<HeldOutText*>(&gzip), static_cast<HeldOutText*>(&xz)}) {
      for (size_t at = 0; at < text.size(); at += 1000) packed->feed(std::string_view(text).substr(at, 1000)), packed->end_document();
      const double expected = packed_bits(packed == &gzip ? "gzip" : "xz", text);
      // gzip and zlib choose blocks alike but for details of where they end.
      EXPECT_NEAR(packed->bits(), expected, packed == &gzip ? expected * 0.002 + 8 * 18 : 0) << size;
      if (text.empty()) EXPECT_TRUE(std::isnan(packed->bits_per_byte()));
      else EXPECT_DOUBLE_EQ(packed->bits_per_byte(), packed->bits() / double(text.size()));
      EXPECT_THROW(packed->feed("x"), Error);
    }
  }
}

TEST(Baselines, AreFourAndTheNgramsLearn) {
  const auto all = all_baselines(1 << 20);
  ASSERT_EQ(all.size(), 4u);
  const std::string training = some_text(100000, 1), held_out = some_text(20000, 2);
  double last = 8;
  for (const auto& baseline : all) {
    baseline->train(training);
    baseline->end_document();
    const auto text = baseline->held_out();
    text->feed(held_out);
    const double bits = text->bits_per_byte();
    EXPECT_GT(bits, 0.2) << baseline->name();
    if (baseline->learns()) EXPECT_LT(bits, last) << baseline->name();
    last = bits;
  }
}

}  // namespace
}  // namespace tw
