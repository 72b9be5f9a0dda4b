// Videos and tokens. What reads or writes files of video wants ffmpeg and skips without it.
#include "src/codec/video/video_codec.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>

#include "src/codec/image/image_quality.h"
#include "src/codec/video/frames.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/rng.h"
#include "tests/codec/codec_fixture.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int kRate = 5;

// A ball that moves over a ground of waves.
Picture scene(int width, int height, int at) {
  Picture p{.width = width, .height = height, .channels = 3, .pixels = {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const bool ball = std::hypot(x - (8 + 2 * at), y - height / 2) < 6;
      for (int c = 0; c < 3; ++c) p.pixels.push_back(ball ? uint8_t(c == 0 ? 230 : 40) : uint8_t(std::lround(120 + 40 * std::sin(0.2 * x + c) + 30 * std::cos(0.3 * y))));
    }
  return p;
}

std::string video_of(int frames, int width = 48, int height = 32, bool stands = false) {
  FrameFile file;
  for (int i = 0; i < frames; ++i) file.add(scene(width, height, stands ? 0 : i));
  return file.mp4(kRate, 0);
}

std::vector<Picture> frames_in(const CodecInput& file, int longest = 64) {
  std::vector<Picture> frames;
  read_frames(file, longest, kRate, [&](const Picture& p) { frames.push_back(p); });
  return frames;
}

std::string why(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

class Videos : public CodecFiles {
 protected:
  void SetUp() override {
    if (find_program(std::getenv("PATH"), "ffmpeg").empty()) GTEST_SKIP() << "ffmpeg is not installed";
  }
};

TEST(PixmapFrames, ComeInPiecesOfAnySize) {
  const Picture p = scene(5, 3, 0);
  std::string all;
  for (int i = 0; i < 3; ++i) all += "P6\n5 3\n255\n" + std::string(p.pixels.begin(), p.pixels.end());
  for (const size_t piece : {size_t(1), size_t(7), all.size()}) {
    int frames = 0;
    PixmapFrames reader(8, [&](const Picture& found) {
      EXPECT_EQ(found, p);
      ++frames;
    });
    for (size_t at = 0; at < all.size(); at += piece) reader.feed(std::string_view(all).substr(at, piece));
    EXPECT_EQ(frames, 3) << piece;
  }
}

TEST(PixmapFrames, OthersAreRefused) {
  for (const std::string bad : {"P5\n1 1\n255\n", "P6\n9 1\n255\n", "P6\n0 1\n255\n", "P6\n1 1\n65535\n", "P6\n1 1 255\n\n\n", "P6\n99999999999999999999 1\n255\n", "P6\n-1 1\n255\n", "P6\n1 1\n25555555555555555555555555555"})
    EXPECT_THAT(why([&] { PixmapFrames(8, [](const Picture&) { FAIL() << "a frame"; }).feed(bad); }), testing::Not("")) << bad;
}

TEST_F(Videos, FramesGoIntoAFileAndComeBack) {
  const std::vector<Picture> found = frames_in(video_of(10));
  ASSERT_EQ(found.size(), 10u);
  for (int i = 0; i < 10; ++i) EXPECT_GT(squared_error(found[size_t(i)], scene(48, 32, i)).psnr(), 28) << i << ": colours are kept at half the resolution";
  const std::vector<Picture> small = frames_in(video_of(3, 48, 32), 24);
  ASSERT_EQ(small.size(), 3u);
  EXPECT_EQ(small[0].width, 24);
  EXPECT_EQ(small[0].height, 16);
  EXPECT_EQ(frames_in(video_of(2, 33, 17))[0].width, 34) << "sides are even";
}

TEST_F(Videos, TheMotionOfTrainingFilesComesBack) {
  const auto path = file("a.mp4", video_of(24));
  const std::vector<fs::path> files = {path};
  const auto codec = kVideoCodec.train(files, {.threads = 2});
  EXPECT_EQ(kVideoCodec.train(files, {.threads = 1})->hash(), codec->hash()) << "threads change nothing";
  const MappedFile map(path);
  const Encoded ids(*codec, {map.text(), path});
  ASSERT_EQ(ids.documents.size(), 1u);
  EXPECT_TRUE(ids.notes.empty());
  const std::vector<int32_t>& all = ids.documents[0];
  EXPECT_EQ(std::count(all.begin(), all.end(), 0), 24) << "each frame has its end";
  EXPECT_THAT(codec->opening(), ElementsAre(all[0], all[1]));
  const std::vector<Picture> made = frames_in(codec->decode(all));
  ASSERT_EQ(made.size(), 24u);
  SquaredError error;
  for (int i = 0; i < 24; ++i) {
    const SquaredError e = squared_error(made[size_t(i)], scene(48, 32, i));
    error.sum += e.sum, error.values += e.values;
  }
  EXPECT_GT(error.psnr(), 27);
  codec->save(folder_.path() / "video.json");
  const auto loaded = kVideoCodec.load(folder_.path() / "video.json");
  EXPECT_EQ(loaded->hash(), codec->hash());
  EXPECT_EQ(Encoded(*loaded, map.text()).documents, ids.documents) << "from memory as well";
  const auto quality = codec->quality(files);
  ASSERT_EQ(quality.size(), 3u);
  EXPECT_GE(quality[0].value, error.psnr()) << "the file of video loses a little more";
  EXPECT_GT(quality[0].baseline, 15);
  EXPECT_GT(quality[1].value, 0.8);
}

TEST_F(Videos, WhatStandsStillCostsItsEndAlone) {
  const auto path = file("a.mp4", video_of(20, 48, 32, true));
  const auto codec = kVideoCodec.train(std::vector<fs::path>{path}, {});
  const std::vector<int32_t> all = Encoded(*codec, {read_file(path), path}).documents[0];
  std::vector<int64_t> ends;
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] == 0) ends.push_back(int64_t(i));
  ASSERT_EQ(ends.size(), 20u);
  EXPECT_LT(ends[19] - ends[2], 30) << "17 frames";
}

TEST_F(Videos, AnyIdsAreAVideo) {
  const auto path = file("a.mp4", video_of(6));
  const auto codec = kVideoCodec.train(std::vector<fs::path>{path}, {});
  const Rng rng{3, RngStream::test, 0x71d};
  for (int kind = 0; kind < 5; ++kind) {
    std::vector<int32_t> ids = kind == 0 ? std::vector<int32_t>() : codec->opening();
    for (int i = 0; i < 400 * kind; ++i) ids.push_back(int32_t(rng.bits64(uint64_t(1000 * kind + i)) % uint64_t(codec->vocab_size())));
    EXPECT_GE(frames_in(codec->decode(ids), 70).size(), 1u);
    EXPECT_THAT(codec->sheet(ids), testing::StartsWith("\x89PNG"));
  }
  EXPECT_THAT(why([&] { codec->decode(std::vector<int32_t>{codec->vocab_size()}); }), HasSubstr("those of the video codec"));
  EXPECT_THAT(why([&] { codec->sheet(std::vector<int32_t>{-1}); }), HasSubstr("those of the video codec"));
}

TEST_F(Videos, AContactSheetShowsAtMostSixteenFrames) {
  const auto path = file("a.mp4", video_of(40));
  const auto codec = kVideoCodec.train(std::vector<fs::path>{path}, {});
  const std::vector<int32_t> ids = Encoded(*codec, {read_file(path), path}).documents[0];
  FoundPicture sheet;
  read_pictures(codec->sheet(ids), 1000, [&](FoundPicture p) { sheet = std::move(p); });
  EXPECT_EQ(sheet.width, 4 * 48 + 3 * 2);
  EXPECT_EQ(sheet.height, 4 * 32 + 3 * 2);
  EXPECT_EQ(sheet.at(48, 5, 0), 255) << "white between";
}

TEST_F(Videos, BadFilesAreNamed) {
  const std::string good = video_of(40);
  const auto content = kVideoCodec.inspect(good);
  EXPECT_EQ(content.units, 40);
  EXPECT_EQ(content.said, "8.0 s");
  EXPECT_EQ(content.note, "");
  EXPECT_THAT(why([&] { kVideoCodec.inspect(""); }), HasSubstr("empty"));
  EXPECT_THAT(why([&] { kVideoCodec.inspect("this is a text"); }), HasSubstr("no video that can be read"));
  EXPECT_THAT(why([&] { kVideoCodec.inspect(good.substr(0, 700)); }), HasSubstr("no video that can be read"));
  std::string damaged = good;
  for (size_t i = good.size() / 2; i < good.size(); i += 3) damaged[i] = char(damaged[i] ^ 0x5A);
  const auto half = kVideoCodec.inspect(damaged);
  EXPECT_GT(half.units, 0);
  EXPECT_THAT(half.note, HasSubstr("damaged"));
}

TEST_F(Videos, AFileNamesNoOther) {
  const auto secret = file("secret.mp4", video_of(5));
  for (const std::string& list : {"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:" + secret.string() + "\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '" + secret.string() + "'\n"})
    EXPECT_THAT(why([&] { kVideoCodec.inspect({list, file("list.mp4", list)}); }), HasSubstr("no video that can be read")) << list;
}

TEST_F(Videos, DamagedCodebooksAreNamed) {
  const auto path = file("a.mp4", video_of(6));
  kVideoCodec.train(std::vector<fs::path>{path}, {})->save(folder_.path() / "video.json");
  const std::string good = read_file(folder_.path() / "video.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    text.replace(at, from.size(), to);
    return why([&] { kVideoCodec.load(file("bad.json", text)); });
  };
  EXPECT_THAT(with("\"rate\":5", "\"rate\":0"), HasSubstr("rate is 0"));
  EXPECT_THAT(with("\"size\":64", "\"size\":100000"), HasSubstr("size is 100000"));
  EXPECT_THAT(with("\"common\":[48,32]", "\"common\":[48,0]"), HasSubstr("a common size of 48 x 0"));
  EXPECT_THAT(with("\"common\":[48,32]", "\"common\":[480,32]"), HasSubstr("common width is 480"));
  EXPECT_THAT(with("\"left\":[", "\"left\":[{},"), HasSubstr("2 books"));
  EXPECT_THAT(with("\"dimension\":96", "\"dimension\":95"), testing::Not(""));
}

TEST_F(Videos, RealFilmComesBack) {
  const auto film = test_data("video/bbb-160x90-10fps.mp4"), other = test_data("video/bbb-128x72-mjpeg.avi");
  if (!film || !other) GTEST_SKIP() << "the shared test data is not there";
  const std::vector<fs::path> train = {*film}, held = {*other};
  const auto codec = kVideoCodec.train(train, {.threads = 2});
  for (const auto& [name, files] : {std::pair("trained", train), std::pair("held out", held)}) {
    const auto quality = codec->quality(files);
    for (const CodecQuality& q : quality) std::printf("%s: %s: %.3f (%s: %.3f)\n", name, q.metric.c_str(), q.value, q.baseline_name.c_str(), q.baseline);
    EXPECT_GT(quality[0].value, 20);
  }
}

}  // namespace
}  // namespace tw
