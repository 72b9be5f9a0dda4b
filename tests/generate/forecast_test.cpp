#include "src/generate/forecast.h"

#include <gtest/gtest.h>

#include <cmath>

#include "src/codec/series/series_codec.h"
#include "src/core/file.h"
#include "src/core/thread_team.h"
#include "src/data/token_file.h"
#include "src/nn/initialize.h"
#include "tests/support/process.h"

namespace tw {
namespace {
namespace fs = std::filesystem;

// A model that has learnt nothing draws at random: its errors, those of the two plain ways, and the share within its wide intervals are what they are by
// hand.
TEST(Forecast, ErrorsAreThoseOfThePaperAndASeasonIsFound) {
  const TemporaryFolder folder;
  std::string table = "wave,flat,saw\n";
  for (int i = 0; i < 120; ++i) table += fmt::format("{},5,{}\n", std::lround(10 * std::sin(2 * M_PI * i / 12)), i % 6);
  write_file_atomically(folder.path() / "a.csv", table);
  const std::vector<fs::path> files = {folder.path() / "a.csv"};
  const auto codec = kSeriesCodec.train(files, {});
  struct All final : CodecSink {
    void ids(std::span<const int32_t> some) override { all.insert(all.end(), some.begin(), some.end()); }
    std::vector<int32_t> all;
  } ids;
  codec->encode(table, ids);
  // Tracks are the numbers of the table, with those that stand still.
  const std::vector<Track> tracks = codec->tracks(ids.all);
  ASSERT_EQ(tracks.size(), 3u);
  EXPECT_EQ(tracks[0].name, "wave");
  ASSERT_EQ(tracks[1].values.size(), 120u);
  for (int i = 0; i < 120; ++i) {
    EXPECT_EQ(tracks[0].values[size_t(i)], std::lround(10 * std::sin(2 * M_PI * i / 12)));
    EXPECT_EQ(tracks[1].values[size_t(i)], 5);
  }

  CodecRange range{.name = "series", .codebook = "", .begin = 1, .end = 3, .first = 4, .size = codec->vocab_size()};
  std::vector<int32_t> row = {1};
  for (const int32_t id : ids.all) row.push_back(id + 4);
  row.push_back(3), row.push_back(0);
  {
    TokenFileWriter writer(folder.path() / "t.h5", range.last() + 1, "", 0);
    writer.append(row);
    Document d;
    d.path = "a.csv", d.sha256 = std::string(64, '0');
    writer.end_document(d);
    writer.finish();
  }
  ModelConfig m;
  m.type = Architecture::llama;
  m.vocab_size = range.last() + 1;
  m.hidden_size = 16, m.intermediate_size = 32, m.num_hidden_layers = 1, m.num_attention_heads = 2, m.num_key_value_heads = 2, m.head_dim = 8;
  m.max_position_embeddings = 256, m.hidden_act = "silu";
  const ParameterTable parameters(m);
  Tensor weights({parameters.flat_count()}, DType::fp32);
  ThreadTeam team(2);
  const Stream stream(team);
  initialize_weights(m, parameters, 7, 0, weights.view(), stream);
  Generator generator(m, parameters, weights.view(), stream);
  const ForecastOptions options{.windows = 4, .horizon = 6, .samples = 5, .context = 256, .sampling = {.seed = 3}};
  const ForecastResult r = test_forecasts(generator, *codec, range, *TokenFile::open(folder.path() / "t.h5"), options);
  EXPECT_EQ(r.windows, 4);
  ASSERT_EQ(r.tracks.size(), 2u) << "what never moves has no scale";
  const ForecastScore &saw = r.tracks[0], &wave = r.tracks[1];
  EXPECT_EQ(saw.track, "saw");
  EXPECT_EQ(saw.values, 24);
  EXPECT_NEAR(saw.seasonal, 0, 1e-12) << "six rows are its season, or twice six";
  EXPECT_LT(wave.seasonal, wave.last_value) << "its first window is shorter than two of its seasons";
  EXPECT_GT(wave.last_value, 1) << "the last value does not stay";
  EXPECT_GT(saw.last_value, 0.5);
  EXPECT_GT(saw.mase, 0.3) << "it has learnt nothing";
  EXPECT_GE(wave.coverage, 0);
  EXPECT_LE(wave.coverage, 1);
  const ForecastScore mean = r.mean();
  EXPECT_NEAR(mean.mase, (saw.mase + wave.mase) / 2, 1e-12);
  const ForecastResult again = test_forecasts(generator, *codec, range, *TokenFile::open(folder.path() / "t.h5"), options);
  EXPECT_EQ(again.mean().mase, mean.mase) << "the same samples";
}

}  // namespace
}  // namespace tw
