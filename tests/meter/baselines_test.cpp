#include "src/meter/baselines.h"

#include <cmath>
#include <random>
#include <string>

#include <gtest/gtest.h>
#include <zlib.h>

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

TEST(NgramBaseline, ProbabilitiesSumToOne) {
  for (int order = 0; order <= 3; ++order) {
    NgramBaseline model(order);
    expect_sum_one(model, "");  // nothing learnt: uniform
    EXPECT_DOUBLE_EQ(model.probability("", 'x'), 1.0 / 256);
    model.train(some_text(20000, 1));
    model.end_document();
    model.train(noise(3000, 2));
    model.end_document();
    model.train("a");
    model.end_document();
    for (const std::string context : {"", "e", "th", "the", "ing", "zzz", "token", "\xff\xfe\xfd"})
      expect_sum_one(model, context);
    const std::string bytes = noise(600, 3);
    for (size_t at = 0; at + 3 < bytes.size(); at += 3) expect_sum_one(model, bytes.substr(at, 3));
  }
}

TEST(NgramBaseline, SumsHoldWhereTheTableIsFull) {
  NgramBaseline model(3, 500);
  model.train(noise(20000, 5));
  model.train(some_text(20000, 5));
  for (const std::string context : {"", "t", "th", "the", "\x01\x02\x03"}) expect_sum_one(model, context);
  model.score(some_text(2000, 6));
  EXPECT_GT(model.bits_per_byte(), 0);
  EXPECT_LT(model.bits_per_byte(), 16);
}

TEST(NgramBaseline, LongerContextsPredictTextBetter) {
  double last = 8;
  for (int order = 0; order <= 3; ++order) {
    NgramBaseline model(order);
    model.train(some_text(200000, 1));
    model.score(some_text(20000, 2));
    EXPECT_LT(model.bits_per_byte(), last - 0.1) << "order " << order;
    last = model.bits_per_byte();
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
  model.score(draw(100000));
  EXPECT_NEAR(model.bits_per_byte(), 1.75, 0.01);
}

TEST(NgramBaseline, NoiseCostsEightBits) {
  NgramBaseline model;
  model.train(noise(100000, 1));
  model.score(noise(20000, 2));
  EXPECT_NEAR(model.bits_per_byte(), 8, 0.2);
  EXPECT_GT(model.bits_per_byte(), 8) << "nothing can be gained on noise";
}

TEST(NgramBaseline, PiecesAndDocumentsCountAsTold) {
  const std::string text = some_text(5000, 1), held_out = some_text(700, 2);
  NgramBaseline whole, pieces;
  whole.train(text);
  for (size_t at = 0; at < text.size(); at += 7) pieces.train(std::string_view(text).substr(at, 7));
  whole.score(held_out);
  for (size_t at = 0; at < held_out.size(); at += 3) pieces.score(std::string_view(held_out).substr(at, 3));
  EXPECT_DOUBLE_EQ(whole.bits_per_byte(), pieces.bits_per_byte());
  EXPECT_EQ(pieces.trained_bytes(), 5000);
  EXPECT_EQ(pieces.scored_bytes(), 700);

  // No context reaches over the end of a document.
  NgramBaseline documents;
  for (int i = 0; i < 50; ++i) {
    documents.train("ab");
    documents.end_document();
  }
  EXPECT_GT(documents.probability("a", 'b'), 0.9);
  EXPECT_EQ(documents.probability("b", 'a'), documents.probability("", 'a')) << "nothing ever followed a b";
  documents.score("a");
  documents.end_scored_document();
  const double after_end = documents.bits_per_byte();
  documents.score("a");
  EXPECT_DOUBLE_EQ(documents.bits_per_byte(), after_end) << "the second document begins like the first";
  EXPECT_TRUE(std::isnan(NgramBaseline().bits_per_byte()));
}

TEST(NgramBaseline, ScoringLearnsNothing) {
  NgramBaseline model;
  model.train(some_text(1000, 1));
  const double before = model.probability("xyz", 'q');
  for (int i = 0; i < 100; ++i) model.score("xyzq");
  EXPECT_EQ(model.probability("xyz", 'q'), before);
}

// What `gzip -9` makes of a stream: a .gz file without a name, read back by zlib's own reader.
TEST(GzipBaseline, IsTheSizeOfAGzipFile) {
  for (const size_t size : {size_t(0), size_t(1), size_t(1000), size_t(300000)}) {
    const std::string text = some_text(size, 4);
    GzipBaseline baseline;
    baseline.feed(text);
    std::string packed(compressBound(uLong(size)) + 64, '\0');
    z_stream z{};
    ASSERT_EQ(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    z.avail_in = unsigned(size);
    z.next_out = reinterpret_cast<Bytef*>(packed.data());
    z.avail_out = unsigned(packed.size());
    ASSERT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
    const auto raw = int64_t(z.total_out);
    deflateEnd(&z);
    EXPECT_EQ(baseline.compressed_bytes(), raw + 18);
    if (size)
      EXPECT_DOUBLE_EQ(baseline.bits_per_byte(), 8.0 * double(raw + 18) / double(size));
    else
      EXPECT_TRUE(std::isnan(baseline.bits_per_byte()));
  }
}

TEST(GzipBaseline, GzipItselfAgrees) {
  const std::string text = some_text(200000, 9) + noise(1000, 9);
  std::FILE* pipe = nullptr;
  const std::string path = testing::TempDir() + "tw_gzip_baseline";
  {
    std::FILE* file = std::fopen(path.c_str(), "wb");
    ASSERT_TRUE(file && std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fclose(file) == 0);
  }
  long long size = -1;
  pipe = ::popen(("gzip -9 -c < '" + path + "' | wc -c").c_str(), "r");
  ASSERT_TRUE(pipe);
  ASSERT_EQ(std::fscanf(pipe, "%lld", &size), 1);
  ::pclose(pipe);
  std::remove(path.c_str());
  GzipBaseline baseline;
  for (size_t at = 0; at < text.size(); at += 1000) baseline.feed(std::string_view(text).substr(at, 1000));
  // gzip and zlib choose blocks alike but for details of where they end.
  EXPECT_NEAR(double(baseline.compressed_bytes()), double(size), double(size) * 0.002 + 18);
  EXPECT_THROW(baseline.feed("x"), Error);
}

}  // namespace
}  // namespace tw
