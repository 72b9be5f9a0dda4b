#include <gmock/gmock.h>
#include <zlib.h>

#include <cmath>

#include "src/codec/image/area_scaler.h"
#include "src/codec/image/image_codec.h"
#include "src/codec/image/image_quality.h"
#include "src/codec/image/picture.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/rng.h"
#include "tests/codec/codec_fixture.h"
#include "tests/support/process.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

std::string big_endian(uint32_t n) { return {char(n >> 24), char(n >> 16), char(n >> 8), char(n)}; }

// PNG by its specification (W3C, third edition), chunk by chunk.
std::string chunk(const std::string& type, const std::string& content) {
  const std::string both = type + content;
  return big_endian(uint32_t(content.size())) + both + big_endian(uint32_t(::crc32(0, reinterpret_cast<const Bytef*>(both.data()), uInt(both.size()))));
}
std::string png(uint32_t width, uint32_t height, int depth, int colour, const std::string& rows, const std::string& between = "", int interlaced = 0) {
  uLongf size = ::compressBound(uLong(rows.size()));
  std::string packed(size, '\0');
  ::compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(rows.data()), uLong(rows.size()));
  packed.resize(size);
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", big_endian(width) + big_endian(height) + char(depth) + char(colour) + std::string("\0\0", 2) + char(interlaced)) + between + chunk("IDAT", packed) +
         chunk("IEND", "");
}
std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int v : values) out += char(v);
  return out;
}

FoundPicture read(const CodecInput& file, int longest = 64) {
  FoundPicture found;
  read_pictures(file, longest, [&](FoundPicture p) { found = std::move(p); });
  return found;
}

// Waves of colour, different everywhere.
Picture waves(int width, int height, int channels, int kind = 0) {
  Picture p{.width = width, .height = height, .channels = channels, .pixels = {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c) p.pixels.push_back(uint8_t(std::lround(127 + 80 * std::sin(0.13 * (kind + 1) * x + c) + 47 * std::cos(0.21 * y - kind))));
  return p;
}

class Images : public CodecFiles {};

TEST_F(Images, PngsOfEveryKindOfColourAreRead) {
  const FoundPicture rgb = read(png(2, 1, 8, 2, bytes({0, 255, 0, 0, 1, 2, 3})));
  EXPECT_EQ(rgb.channels, 3);
  EXPECT_THAT(rgb.pixels, ElementsAre(255, 0, 0, 1, 2, 3));
  const FoundPicture grey = read(png(3, 1, 8, 0, bytes({0, 7, 8, 9})));
  EXPECT_EQ(grey.channels, 1);
  EXPECT_THAT(grey.pixels, ElementsAre(7, 8, 9));
  EXPECT_THAT(read(png(2, 1, 8, 4, bytes({0, 100, 255, 100, 0}))).pixels, ElementsAre(100, 255)) << "what is transparent is white";
  EXPECT_THAT(read(png(1, 1, 8, 6, bytes({0, 255, 0, 0, 128}))).pixels, ElementsAre(255, 127, 127)) << "half of it is";
  const std::string palette = chunk("PLTE", bytes({255, 0, 0, 0, 0, 255})) + chunk("tRNS", bytes({255, 0}));
  EXPECT_THAT(read(png(2, 1, 1, 3, bytes({0, 0x40}), palette)).pixels, ElementsAre(255, 0, 0, 255, 255, 255));
  EXPECT_THAT(read(png(1, 1, 16, 2, bytes({0, 0x12, 0xFF, 0x34, 0, 0x56, 0}))).pixels, ElementsAre(0x12, 0x34, 0x56)) << "of 16 bits the upper ones";
  EXPECT_THAT(read(png(1, 1, 8, 0, bytes({0, 200}), "", 1)).pixels, ElementsAre(200)) << "interlaced";
  EXPECT_EQ(read(png_of(waves(33, 17, 3))), static_cast<const Picture&>(waves(33, 17, 3))) << "what we write is read";
}

TEST_F(Images, AJpegIsTurnedAsItsExifSays) {
  Picture p{.width = 16, .height = 8, .channels = 1, .pixels = std::vector<uint8_t>(128, 0)};
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 8; ++x) p.pixels[size_t(y * 16 + x)] = 255;  // the upper left quarter is white
  const std::string plain = jpeg_of(p, 95);
  // Which corner is white: 0 upper left, 1 upper right, 2 lower left, 3 lower right.
  const std::array<int, 8> corner = {0, 1, 3, 2, 0, 1, 3, 2};
  for (int orientation = 1; orientation <= 8; ++orientation)
    for (const bool little : {true, false}) {
      const auto number = [&](unsigned n, int width) {
        std::string out;
        for (int i = 0; i < width; ++i) out += char(n >> 8 * (little ? i : width - 1 - i));
        return out;
      };
      const std::string tiff = std::string(little ? "II" : "MM") + number(42, 2) + number(8, 4) + number(1, 2) + number(0x0112, 2) + number(3, 2) + number(1, 4) + number(unsigned(orientation), 2) +
                               number(0, 2) + number(0, 4);
      const std::string segment = std::string("Exif\0\0", 6) + tiff;
      const FoundPicture found = read(plain.substr(0, 2) + "\xFF\xE1" + bytes({int(segment.size() + 2) >> 8, int(segment.size() + 2) & 255}) + segment + plain.substr(2));
      ASSERT_EQ(found.width, orientation >= 5 ? 8 : 16) << orientation;
      ASSERT_EQ(found.full_height, orientation >= 5 ? 16 : 8);
      for (int c = 0; c < 4; ++c) EXPECT_EQ(found.at(c % 2 ? found.width - 2 : 1, c / 2 ? found.height - 2 : 1, 0) > 128, c == corner[size_t(orientation - 1)]) << orientation << " " << c;
    }
}

TEST_F(Images, LargePicturesAreAveragedOverAreas) {
  AreaScaler half(4, 2, {2, 1}, 1);
  for (const auto& row : {bytes({0, 10, 100, 200}), bytes({20, 30, 100, 200})}) half.add_row(reinterpret_cast<const uint8_t*>(row.data()));
  EXPECT_THAT(half.finish().pixels, ElementsAre(15, 150));
  AreaScaler third(3, 1, {2, 1}, 1);  // the middle one belongs to both by halves
  const std::string row = bytes({30, 60, 90});
  third.add_row(reinterpret_cast<const uint8_t*>(row.data()));
  EXPECT_THAT(third.finish().pixels, ElementsAre(40, 80));
  for (const auto& [w, h] : {std::pair(640, 427), std::pair(427, 640), std::pair(65, 64), std::pair(1000, 3), std::pair(64, 64)}) {
    const Picture p = waves(w, h, 3);
    for (const std::string& packed : {png_of(p), jpeg_of(p, 95)}) {
      const FoundPicture found = read(packed, 64);
      ASSERT_EQ(std::max(found.width, found.height), 64);
      EXPECT_EQ(found.full_width, w);
      double mean = 0, full = 0;
      for (const uint8_t v : found.pixels) mean += double(v) / double(found.pixels.size());
      for (const uint8_t v : p.pixels) full += double(v) / double(p.pixels.size());
      EXPECT_NEAR(mean, full, 2) << w << " x " << h;
    }
  }
}

TEST_F(Images, WhatIsNoPictureIsNamed) {
  const std::string good = png_of(waves(40, 30, 3)), jpeg = jpeg_of(waves(40, 30, 3), 80);
  const auto reason = [](const std::string& content) -> std::string {
    try {
      kImageCodec.inspect(content);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(reason("%PDF-1.4"), HasSubstr("no PNG, JPEG or idx file"));
  for (size_t n = 8; n < good.size() - 12; n += 97) EXPECT_THAT(reason(good.substr(0, n)), HasSubstr("PNG")) << n;
  for (size_t n = 3; n < jpeg.size() - 2; n += 97) EXPECT_NE(reason(jpeg.substr(0, n)), "") << n;
  EXPECT_THAT(reason(png(13000, 13000, 1, 0, std::string(100, '\0'))), HasSubstr("13000 x 13000 pixels"));
  EXPECT_NE(reason(png(70000, 2, 1, 0, std::string(100, '\0'))), "");
  EXPECT_NE(reason(bytes({0, 0, 8, 3, 0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0xFF, 0, 0, 0, 4, 0}) + "few"), "") << "a head that promises terabytes";
  EXPECT_NE(reason(bytes({0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1})), "") << "no picture";
  EXPECT_NE(reason(bytes({0x1F, 0x8B, 8, 0, 0, 0})), "") << "gzip of nothing";
}

TEST_F(Images, IdxFilesAreManyPicturesWithTheirLabels) {
  const fs::path pictures = file("some-images-idx3-ubyte", bytes({0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6}));
  std::vector<FoundPicture> found;
  const auto read_all = [&] {
    found.clear();
    const MappedFile map(pictures);
    read_pictures({map.text(), pictures}, 64, [&](FoundPicture p) { found.push_back(std::move(p)); });
  };
  read_all();
  ASSERT_EQ(found.size(), 2u);
  EXPECT_THAT(found[1].pixels, ElementsAre(4, 5, 6));
  EXPECT_EQ(found[1].label, -1);
  file("some-labels-idx1-ubyte", bytes({0, 0, 8, 1, 0, 0, 0, 2, 7, 9}));
  read_all();
  EXPECT_EQ(found[0].label, 7);
  EXPECT_EQ(found[1].label, 9);
  file("some-labels-idx1-ubyte", bytes({0, 0, 8, 1, 0, 0, 0, 3, 7, 9, 1}));
  EXPECT_THROW(read_all(), Error) << "three labels of two pictures";
}

TEST_F(Images, PicturesOfFewPatchesComeBackAsTheyWere) {
  std::vector<fs::path> files;
  std::vector<Picture> all;
  for (const auto& [w, h] : {std::pair(28, 28), std::pair(5, 3), std::pair(1, 1), std::pair(64, 9)}) {
    Picture p{.width = w, .height = h, .channels = 1, .pixels = {}};
    for (int i = 0; i < w * h; ++i) p.pixels.push_back(uint8_t(i / w / 4 % 2 ? 255 : i % w / 4 % 3 * 100));
    files.push_back(file(fmt::format("{}.png", w), png_of(p)));
    all.push_back(std::move(p));
  }
  const auto codec = kImageCodec.train(files, {.threads = 2, .image_size = 64});
  for (size_t i = 0; i < files.size(); ++i) {
    const Encoded e(*codec, CodecInput(MappedFile(files[i]).text()));
    ASSERT_EQ(e.documents.size(), 1u);
    EXPECT_EQ(e.documents[0].size(), size_t(2 + 2 * ((all[i].width + 3) / 4) * ((all[i].height + 3) / 4)));
    const FoundPicture back = read(codec->decode(e.documents[0]));
    EXPECT_EQ(static_cast<const Picture&>(back), all[i]) << i;
  }
  EXPECT_TRUE(codec->opening().empty()) << "they are of many sizes";
  const auto one = kImageCodec.train(std::span(files).first(1), {});
  EXPECT_THAT(one->opening(), ElementsAre(27, 32 + 27));
  EXPECT_EQ(codec->length({}), 0);
  EXPECT_EQ(codec->length(std::vector<int32_t>{4}), 0);
  EXPECT_EQ(codec->length(std::vector<int32_t>{4, 64 + 2}), 2 + 2 * 2) << "5 x 3 pixels are two patches";
  EXPECT_EQ(codec->length(std::vector<int32_t>{64 + 2, 4}), -1);
  codec->save(folder_.path() / "image.json");
  const auto again = kImageCodec.load(folder_.path() / "image.json");
  EXPECT_EQ(again->hash(), codec->hash());
  EXPECT_EQ(again->vocab_size(), codec->vocab_size());
  EXPECT_NE(kImageCodec.train(files, {.image_size = 32})->hash(), codec->hash());
  EXPECT_EQ(kImageCodec.train(files, {.threads = 1, .image_size = 64})->hash(), codec->hash()) << "threads change nothing";
}

TEST_F(Images, AnyIdsAreAPicture) {
  const auto codec = kImageCodec.train(std::vector<fs::path>{file("a.png", png_of(waves(40, 24, 3)))}, {});
  const Rng random{.seed = 5, .stream = RngStream::test};
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> ids;
    for (int i = 0; i < round; ++i) ids.push_back(int32_t(random.bits(uint64_t(round * 1000 + i)) % uint32_t(codec->vocab_size())));
    const FoundPicture p = read(codec->decode(ids));
    EXPECT_LE(std::max(p.width, p.height), 64);
  }
  EXPECT_THROW(codec->decode(std::vector<int32_t>{-1}), Error);
  EXPECT_THROW(codec->decode(std::vector<int32_t>{codec->vocab_size()}), Error);
}

TEST_F(Images, DamagedCodebooksAreNamed) {
  const auto codec = kImageCodec.train(std::vector<fs::path>{file("a.png", png_of(waves(8, 8, 1)))}, {});
  codec->save(folder_.path() / "good.json");
  const std::string good = read_file(folder_.path() / "good.json");
  for (const auto& [from, to] : {std::pair("\"size\":32", "\"size\":64000"), std::pair("\"channels\":1", "\"channels\":2"), std::pair("\"channels\":1", "\"channels\":3"),
                                 std::pair("[8,8]", "[8,0]"), std::pair("[8,8]", "[80,8]"), std::pair("\"palettes\":[", "\"palettes\":[{},")}) {
    std::string bad = good;
    ASSERT_NE(bad.find(from), bad.npos) << from;
    bad.replace(bad.find(from), std::string(from).size(), to);
    EXPECT_THROW(kImageCodec.load(file("bad.json", bad)), Error) << to;
  }
}

// A few steps on small pictures.
CodecTraining conv(int threads = 2, int steps = 5) { return {.threads = threads, .image = "conv", .steps = steps}; }

class ConvImages : public Images {
 protected:
  std::vector<fs::path> some(int width, int height, int channels) const {
    std::vector<fs::path> files;
    for (int kind = 0; kind < 6; ++kind) files.push_back(file(fmt::format("{}x{}x{}-{}.png", width, height, channels, kind), png_of(waves(width, height, channels, kind))));
    return files;
  }
};

TEST_F(ConvImages, PicturesComeBack) {
  for (const int channels : {1, 3}) {
    std::vector<fs::path> files = some(20, 16, channels);
    const auto codec = kImageCodec.train(files, conv(2, 120));
    EXPECT_GT(codec->quality(files).at(0).value, 18) << channels;
    EXPECT_EQ(codec->vocab_size(), 2 * 32 + 240) << "few pictures have few codes";
    const Encoded e(*codec, CodecInput(MappedFile(files[2]).text()));
    ASSERT_EQ(e.documents.size(), 1u);
    ASSERT_EQ(e.documents[0].size(), 2u + 5 * 4) << "a token a place";
    EXPECT_THAT(codec->opening(), ElementsAre(19, 32 + 15));
    EXPECT_EQ(codec->length(std::span(e.documents[0]).first(2)), 2 + 5 * 4);
    const FoundPicture back = read(codec->decode(e.documents[0]));
    EXPECT_GT(squared_error(back, waves(20, 16, channels, 2)).psnr(), 16);
    // What its ids do not tell stays white.
    const FoundPicture part = read(codec->decode(std::span(e.documents[0]).first(2 + 5)));
    EXPECT_EQ(part.at(3, 4, 0), 255);
    EXPECT_LT(squared_error(part, back).psnr(), 99);
  }
}

TEST_F(ConvImages, SidesAreWhatTheyAre) {
  std::vector<fs::path> files = some(20, 16, 1);
  for (const auto& [w, h] : {std::pair(5, 3), std::pair(1, 1), std::pair(31, 9)}) files.push_back(file(fmt::format("{}.png", w), png_of(waves(w, h, 1))));
  const auto codec = kImageCodec.train(files, conv());
  EXPECT_TRUE(codec->opening().empty());
  for (const auto& [w, h] : {std::pair(5, 3), std::pair(1, 1), std::pair(31, 9)}) {
    const Encoded e(*codec, png_of(waves(w, h, 1)));
    EXPECT_EQ(e.documents.at(0).size(), size_t(2 + (w + 3) / 4 * ((h + 3) / 4)));
    const FoundPicture back = read(codec->decode(e.documents[0]));
    EXPECT_EQ(back.width, w);
    EXPECT_EQ(back.height, h);
  }
  // Colours that the training pictures had not: brightness alone.
  Picture red{.width = 8, .height = 4, .channels = 3, .pixels = {}}, grey{.width = 8, .height = 4, .channels = 1, .pixels = std::vector<uint8_t>(32, 76)};
  for (int i = 0; i < 32; ++i) red.pixels.insert(red.pixels.end(), {255, 0, 0});
  EXPECT_EQ(Encoded(*codec, png_of(red)).documents, Encoded(*codec, png_of(grey)).documents);
}

TEST_F(ConvImages, BitsDependNeitherOnThreadsNorOnWhatIsEncodedBeside) {
  const std::vector<fs::path> files = some(20, 16, 3);
  const auto codec = kImageCodec.train(files, conv(1));
  EXPECT_EQ(kImageCodec.train(files, conv(3))->hash(), codec->hash());
  EXPECT_NE(kImageCodec.train(std::span(files).first(5), conv(1))->hash(), codec->hash());
  std::string idx("\0\0\x08\x03\0\0\0\7\0\0\0\x09\0\0\0\x0b", 16);
  std::vector<std::string> pictures;
  for (int i = 0; i < 7; ++i) {
    const Picture p = waves(11, 9, 1, i);
    idx.append(p.pixels.begin(), p.pixels.end());
    pictures.push_back(png_of(p));
  }
  const Encoded all(*codec, CodecInput(idx));
  ASSERT_EQ(all.documents.size(), 7u);
  for (size_t i = 0; i < 7; ++i) EXPECT_EQ(all.documents[i], Encoded(*codec, CodecInput(pictures[i])).documents.at(0)) << i;
}

TEST_F(ConvImages, TheCodebookComesBackAndAnyIdsAreAPicture) {
  const auto codec = kImageCodec.train(some(24, 20, 3), conv());
  codec->save(folder_.path() / "image.json");
  const auto again = kImageCodec.load(folder_.path() / "image.json");
  EXPECT_EQ(again->hash(), codec->hash());
  const Rng random{.seed = 5, .stream = RngStream::test};
  for (int round = 0; round < 100; ++round) {
    std::vector<int32_t> ids;
    for (int i = 0; i < round; ++i) ids.push_back(int32_t(random.bits(uint64_t(round * 1000 + i)) % uint32_t(codec->vocab_size())));
    const std::string made = codec->decode(ids);
    EXPECT_LE(std::max(read(made).width, read(made).height), 32);
    EXPECT_EQ(again->decode(ids), made);
  }
  EXPECT_THROW(codec->decode(std::vector<int32_t>{codec->vocab_size()}), Error);
}

TEST_F(ConvImages, TrainingTellsHowFarItIsAndMayBeStopped) {
  CodecTraining options = conv(2, 5);
  std::vector<double> shares;
  options.progress = [&](double share) { shares.push_back(share); };
  const std::vector<fs::path> files = some(8, 8, 1);
  (void)kImageCodec.train(files, options);
  EXPECT_THAT(shares, ElementsAre(0, 0.2, 0.4, 0.6, 0.8));
  options.progress = [](double share) { TW_CHECK(share < 0.5, config, "stop"); };
  EXPECT_THROW((void)kImageCodec.train(files, options), Error);
  options.image = "wavelets";
  EXPECT_THROW((void)kImageCodec.train(files, options), Error);
}

TEST_F(ConvImages, DamagedCodebooksAreNamed) {
  kImageCodec.train(some(8, 8, 1), conv(2, 1))->save(folder_.path() / "good.json");
  const std::string good = read_file(folder_.path() / "good.json");
  const size_t weights = good.find("\"weights\":\"") + 11;
  const auto reason = [&](const std::string& bad) -> std::string {
    try {
      kImageCodec.load(file("bad.json", bad));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data);
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(reason(good), "");
  for (const auto& [from, to] : {std::pair("\"size\":32", "\"size\":64000"), std::pair("\"channels\":1", "\"channels\":3"), std::pair("[8,8]", "[8,0]"), std::pair("\"levels\":[", "\"levels\":[1,"),
                                 std::pair("\"levels\":[", "\"levels\":[64,64,64,64,"), std::pair("\"levels\":[", "\"levels\":[2,"), std::pair("\"blocks\":", "\"blocks\":1000000"),
                                 std::pair("\"wide\":", "\"wide\":1e300,\"w\":"), std::pair("\"wide\":", "\"wide\":-"), std::pair("\"narrow\":", "\"narrow\":{},\"n\":"), std::pair("codec 1", "codec 9")}) {
    std::string bad = good;
    ASSERT_NE(bad.find(from), bad.npos) << from;
    bad.replace(bad.find(from), std::string(from).size(), to);
    EXPECT_NE(reason(bad), "") << to;
  }
  for (const char* digits : {"7fc00000", "7f800000", "ff800000", "4b000000", "0000000g"}) {
    std::string bad = good;
    EXPECT_NE(reason(bad.replace(weights, 8, digits)), "") << "a weight that is no number, endless or huge: " << digits;
  }
  std::string none = good;
  EXPECT_THAT(reason(none.erase(weights, good.find('"', weights) - weights)), HasSubstr("0 digits of weights"));
  for (size_t n = 1; n < good.size(); n = n * 3 + 1) EXPECT_NE(reason(good.substr(0, n)), "") << n;
}

TEST_F(Images, SimilarityIsThatOfThePaper) {
  const Picture p = waves(24, 20, 3);
  EXPECT_NEAR(ssim(p, p), 1, 1e-12);
  EXPECT_EQ(squared_error(p, p).psnr(), 99);
  Picture brighter = p;
  for (uint8_t& v : brighter.pixels) v = uint8_t(std::min(255, v + 10));
  // One value off by 10 everywhere: 20 log10(25.5) dB.
  EXPECT_NEAR(squared_error(p, brighter).psnr(), 28.13, 0.1);
  EXPECT_GT(ssim(p, brighter), 0.9);
  EXPECT_LT(ssim(p, waves(24, 20, 3, 3)), 0.5);
}

// Dark pictures are "night", light ones "day".
TEST_F(Images, SamplesAreJudgedByTheNearestTrainingPicture) {
  std::vector<CaptionedFile> training;
  const auto flat = [](int value) { return png_of({.width = 8, .height = 8, .channels = 1, .pixels = std::vector<uint8_t>(64, uint8_t(value))}); };
  for (int i = 0; i < 4; ++i)
    training.push_back({file(fmt::format("n{}.png", i), flat(10 + i)), "night"}), training.push_back({file(fmt::format("d{}.png", i), flat(240 + i)), "day"});
  const std::vector<CaptionedDocument> samples = {{flat(20), "night"}, {flat(250), "day"}, {flat(250), "night"}, {flat(5), "night"}};
  const SampleJudgement j = kImageCodec.judge(samples, training);
  ASSERT_EQ(j.measures.size(), 2u);
  EXPECT_DOUBLE_EQ(j.measures[0].value, 0.75);
  EXPECT_DOUBLE_EQ(j.measures[0].baseline, 1);
  EXPECT_NEAR(j.measures[1].value, (7.0 + 7 + 7 + 5) / 4 / 255, 1e-3);
  EXPECT_NEAR(j.measures[1].baseline, 1.0 / 255, 1e-3);
  EXPECT_NEAR(j.histograms.at(0).samples[0], 0.25, 1e-12);
  EXPECT_TRUE(kImageCodec.judge({}, training).measures.empty());
}

TEST_F(Images, RealPicturesComeBack) {
  const auto clipart = test_data("images/clipart-32");
  if (!clipart) GTEST_SKIP() << "the real pictures are not there";
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(*clipart)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  const auto held = std::span(files).last(40);
  const auto codec = kImageCodec.train(std::span(files).first(files.size() - 40), {.threads = 2});
  const std::vector<CodecQuality> q = codec->quality(held);
  for (const CodecQuality& one : q) RecordProperty(one.metric, fmt::format("{} ({}: {})", one.value, one.baseline_name, one.baseline));
  EXPECT_GT(q.at(0).value, q.at(0).baseline - 1) << "not far from a JPEG without its tables";
  EXPECT_GT(q.at(2).value, 0.5) << "of 40 pictures";
  EXPECT_GT(codec->quality(std::span(files).first(files.size() - 40)).at(2).value, 0.95);
  const auto conv_codec = kImageCodec.train(std::span(files).first(files.size() - 40), conv(2, 100));
  for (const CodecQuality& one : conv_codec->quality(held)) RecordProperty("conv, 100 steps: " + one.metric, fmt::format("{} ({}: {})", one.value, one.baseline_name, one.baseline));
  EXPECT_GT(conv_codec->quality(held).at(0).value, 16) << "of a fraction of the usual training, and half of the tokens";
  const auto png_path = test_data("images/photo");
  ASSERT_TRUE(png_path);
  std::map<std::string, Picture> photos;
  for (const auto& entry : fs::directory_iterator(*png_path)) {
    const MappedFile map(entry.path());
    photos[entry.path().filename().string()] = read({map.text(), entry.path()}, 160);
  }
  int compared = 0;
  for (const auto& [name, picture] : photos)  // two formats of one picture, by two other decoders
    if (const auto jpeg = photos.find(name.substr(0, name.find('-')) + "-320x214.jpg"); name.ends_with(".png") && jpeg != photos.end()) {
      ++compared;
      EXPECT_GT(squared_error(picture, jpeg->second).psnr(), 28) << name;
    }
  EXPECT_GT(compared, 0);
}

}  // namespace
}  // namespace tw
