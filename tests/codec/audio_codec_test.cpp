#include <gmock/gmock.h>

#include <cmath>
#include <numbers>

#include "src/codec/audio/audio_codec.h"
#include "src/codec/audio/mdct.h"
#include "src/codec/audio/sound.h"
#include "src/codec/vector_book.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/rng.h"
#include "tests/codec/codec_fixture.h"
#include "tests/support/process.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
namespace fs = std::filesystem;


std::vector<float> tone(int rate, double hz, double seconds, float loud = 0.5f) {
  std::vector<float> x;
  for (int i = 0; i < int(rate * seconds); ++i) x.push_back(loud * float(std::sin(2 * std::numbers::pi * hz * i / rate)));
  return x;
}

// Vowels of a kind: harmonics of a pitch that moves, louder and softer.
std::vector<float> voice(int rate, double seconds, double pitch) {
  std::vector<float> x;
  double phase = 0;
  for (int i = 0; i < int(rate * seconds); ++i) {
    const double t = double(i) / rate;
    phase += 2 * std::numbers::pi * pitch * (1 + 0.2 * std::sin(3 * t)) / rate;
    double sum = 0;
    for (int h = 1; h <= 12; ++h) sum += std::sin(h * phase) / h * (1 + std::cos(h + 2 * t));
    x.push_back(float(0.15 * sum * (0.6 + 0.4 * std::sin(5 * t))));
  }
  return x;
}

double snr(std::span<const float> x, std::span<const float> y) {
  double signal = 0, noise = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double off = double(x[i]) - (i < y.size() ? double(y[i]) : 0);
    signal += double(x[i]) * double(x[i]), noise += off * off;
  }
  return 10 * std::log10(signal / noise);
}

std::vector<float> samples_in(std::string_view wav) {
  std::vector<float> all;
  read_sound(wav, "test", {}, [&](std::span<const float> some) { all.insert(all.end(), some.begin(), some.end()); });
  return all;
}

class Audio : public CodecFiles {
 protected:
  std::unique_ptr<Codec> trained(const std::string& audio = "rvq") const {
    std::vector<fs::path> files;
    for (int f = 0; f < 4; ++f) files.push_back(file(std::to_string(f) + ".wav", wav_of(voice(8000, 4, 90 + 30 * f), 8000)));
    return kAudioCodec.train(files, {.audio = audio});
  }
};

TEST(Mdct, FramesAddUpToTheSignal) {
  const Mdct mdct(40);
  std::vector<float> x(400), y(400), c(40);
  for (size_t i = 0; i < x.size(); ++i) x[i] = float(Rng{1, RngStream::test, 0, 0}.uniform(i) - 0.5);
  double energy = 0, of_coefficients = 0;
  for (size_t at = 0; at + 80 <= x.size(); at += 40) {
    mdct.forward(std::span(x).subspan(at, 80), c);
    for (const float v : c) of_coefficients += double(v) * double(v);
    mdct.add_inverse(c, std::span(y).subspan(at, 80));
  }
  for (size_t i = 40; i < 360; ++i) {
    EXPECT_NEAR(y[i], x[i], 1e-5);
    energy += double(x[i]) * double(x[i]);
  }
  EXPECT_NEAR(of_coefficients / energy, 1.0, 0.25);
}

TEST(VectorBook, FindsClusters) {
  std::vector<float> points;
  const Rng rng{2, RngStream::test, 0, 0};
  for (uint64_t i = 0; i < 3000; ++i) {
    points.push_back(float(i % 3) * 10 + float(rng.uniform(2 * i)));
    points.push_back(float(i % 3 == 1) * 5 + float(rng.uniform(2 * i + 1)));
  }
  const VectorBook book = VectorBook::trained(points, 2, 3, 1);
  ASSERT_EQ(book.size(), 3);
  for (const auto& [x, y] : {std::pair(0.5f, 0.5f), std::pair(10.5f, 5.5f), std::pair(20.5f, 0.5f)}) {
    const std::vector<float> p = {x, y};
    const auto v = book.vector(book.nearest(p));
    EXPECT_NEAR(v[0], x, 0.1);
    EXPECT_NEAR(v[1], y, 0.1);
  }
  EXPECT_EQ(VectorBook::trained(points, 2, 3, 2).vectors(), book.vectors()) << "threads change nothing";
  EXPECT_EQ(VectorBook::trained(std::vector<float>{1, 2}, 2, 256, 1).size(), 1);
}

TEST(Sound, IsReadAsItWasWritten) {
  const std::vector<float> x = tone(16000, 440, 0.5);
  const std::string wav = wav_of(x, 16000);
  SoundInfo head;
  const SoundInfo info = read_sound(wav, "test", [&](const SoundInfo& h) { head = h; }, {});
  EXPECT_EQ(info.rate, 16000);
  EXPECT_EQ(head.frames_said, 8000);
  EXPECT_EQ(info.frames, 8000);
  EXPECT_GT(snr(x, samples_in(wav)), 80);
}

TEST(Sound, IsResampledWithoutAliases) {
  for (const auto& [from, to] : {std::pair(44100, 8000), std::pair(8000, 22050), std::pair(16000, 16000)}) {
    const std::vector<float> x = tone(from, 1000, 1), want = tone(to, 1000, 1);
    std::vector<float> got;
    Resampler r(from, to, [&](std::span<const float> some) { got.insert(got.end(), some.begin(), some.end()); });
    for (size_t at = 0; at < x.size(); at += 777) r.add(std::span(x).subspan(at, std::min<size_t>(777, x.size() - at)));
    r.finish();
    ASSERT_NEAR(double(got.size()), double(want.size()), 1) << from << " " << to;
    const size_t n = want.size() - 400;
    EXPECT_GT(snr(std::span(want).subspan(200, n - 200), std::span(got).subspan(200, n - 200)), 40) << from << " to " << to;
  }
  std::vector<float> quiet;
  Resampler r(44100, 8000, [&](std::span<const float> some) { quiet.insert(quiet.end(), some.begin(), some.end()); });
  r.add(tone(44100, 6000, 1)), r.finish();
  double loud = 0;
  for (size_t i = 200; i + 200 < quiet.size(); ++i) loud = std::max(loud, std::abs(double(quiet[i])));
  EXPECT_LT(loud, 0.01) << "what is too high is gone";
}

TEST_F(Audio, VectorsKeepAVoiceAndMuLawKeepsMore) {
  const fs::path held = file("held.wav", wav_of(voice(8000, 3, 107), 8000));
  const std::string bytes = read_file(held, 1 << 20);
  const auto rvq = trained(), mulaw = trained("mulaw");
  const std::vector<float> x = samples_in(bytes);
  const Encoded few(*rvq, bytes), many(*mulaw, bytes);
  EXPECT_LT(double(few.documents[0].size()) / 3, 62.5 * 9 + 20) << "tokens a second";
  EXPECT_EQ(many.documents[0].size(), x.size());
  EXPECT_GT(snr(x, samples_in(rvq->decode(few.documents[0]))), 8);
  EXPECT_GT(snr(x, samples_in(mulaw->decode(many.documents[0]))), 30);
  EXPECT_GT(rvq->quality({&held, 1}).at(0).value, 8);
}

TEST_F(Audio, SilenceIsOneTokenAFrame) {
  const auto codec = trained();
  std::vector<float> x(16000, 0.0f);
  const Encoded e(*codec, wav_of(x, 8000));
  EXPECT_EQ(e.documents[0], std::vector<int32_t>(e.documents[0].size(), 0));
  EXPECT_NEAR(double(e.documents[0].size()), 16000 / 128.0, 2);
  EXPECT_NEAR(double(samples_in(codec->decode(e.documents[0])).size()), 16000, 128);
}

TEST_F(Audio, ACodebookIsKeptAndAnyIdsAreASound) {
  for (const char* kind : {"rvq", "mulaw"}) {
    const auto codec = trained(kind);
    codec->save(folder_.path() / "audio.json");
    const auto loaded = kAudioCodec.load(folder_.path() / "audio.json");
    EXPECT_EQ(loaded->hash(), codec->hash()) << kind;
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 3000; ++i) ids.push_back(i * 7919 % codec->vocab_size());
    EXPECT_EQ(loaded->decode(ids), codec->decode(ids)) << kind;
    EXPECT_THROW(codec->decode(std::vector<int32_t>{codec->vocab_size()}), Error);
    EXPECT_TRUE(codec->decode({}).starts_with("RIFF"));
  }
}

TEST_F(Audio, WhatIsNoSoundIsNamed) {
  const std::string wav = wav_of(voice(8000, 1, 100), 8000);
  EXPECT_EQ(kAudioCodec.inspect(wav).said, "1.0 s at 8000 Hz, 1 channel");
  for (const std::string& bad : {std::string(), std::string("RIFF"), std::string("no sound at all, just words"), std::string(1000, '\0'), wav.substr(0, 44), std::string("OggS") + std::string(500, 'x')})
    EXPECT_THROW(kAudioCodec.inspect(bad), Error) << bad.size();
  EXPECT_NO_THROW(kAudioCodec.inspect(wav.substr(0, 5000))) << "a file that was cut has what it has";
  const fs::path silent = file("silent.wav", wav_of(std::vector<float>(8000, 0.0f), 8000));
  EXPECT_THROW(kAudioCodec.train({&silent, 1}, {}), Error);
  for (const char* bad : {"", "{}", R"({"format": "tokenwerk audio codec 1", "rate": 8000, "codec": "other"})", R"({"format": "tokenwerk audio codec 1", "rate": 1e9, "codec": "mulaw"})",
                          R"({"format": "tokenwerk audio codec 1", "rate": 8000, "codec": "rvq", "levels": {"dimension": 4, "vectors": [1]}, "shapes": []})"})
    EXPECT_THROW(kAudioCodec.load(file("bad.json", bad)), Error) << bad;
}

// Spoken prompts, 8 kHz: most to make the codebook, some held out.
TEST_F(Audio, SpeechComesBack) {
  const auto found = test_data("audio");
  if (!found) GTEST_SKIP() << "the recordings are not here";
  std::vector<fs::path> train, held;
  for (const auto& entry : fs::directory_iterator(*found)) train.push_back(entry.path());
  std::sort(train.begin(), train.end());
  for (size_t i = 0; i < train.size(); i += 8) held.push_back(train[i]);
  std::erase_if(train, [&](const fs::path& p) { return std::find(held.begin(), held.end(), p) != held.end(); });
  const auto codec = kAudioCodec.train(train, {.threads = 2});
  const CodecQuality q = codec->quality(held).at(0);
  EXPECT_GT(q.value, 6);
  EXPECT_GT(q.value, q.baseline + 3);
}

}  // namespace
}  // namespace tw
