// Documents that are no text, from a folder to a model that makes them.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "src/codec/audio/sound.h"
#include "src/codec/image/picture.h"
#include "src/codec/video/frames.h"
#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class Kinds : public Cli {
 protected:
  // Alcohols, amines and chlorides of chains and rings: `count` different ones from number `first` on.
  static std::string molecules(int first, int count) {
    std::string all;
    for (int i = first; i < first + count; ++i) {
      const std::string chain(size_t(1 + i / 9 % 12), 'C');
      const char* end[] = {"O", "N", "Cl"};
      const char* middle[] = {"", "c1ccc(cc1)", "C1CC1"};
      all += chain + middle[i / 3 % 3] + (i / 108 % 2 ? "C(=O)" : "") + (i / 216 % 2 ? "C(F)" : "") + (i / 3 % 3 == 2 ? "C" : "") + end[i % 3] + "\n";
    }
    return all;
  }
};

TEST_F(Kinds, MoleculesAndTextsGiveOneModelThatMakesBoth) {
  const std::string folder = documents();
  for (int f = 0; f < 6; ++f) write("documents/" + std::string(1, char('a' + f)) + ".smi", molecules(f * 72, 72) + (f == 0 ? "C1CC\n" : ""));
  const Words words = Words{"factory", folder, "--out", path("run"), "--generate.documents", "20"} + tiny(60);
  const Ended first = tokenwerk(words);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("a.smi: 1 of 73 molecules are left out: line 73: a ring that is not closed"));
  const fs::path run = path("run");
  const auto tokens = json(run / "tokens" / "tokens.json");
  ASSERT_EQ(tokens["splits"]["train"]["coded"].size(), 1u) << tokens;
  EXPECT_EQ(tokens["splits"]["train"]["coded"][0]["kind"], "molecule");
  EXPECT_TRUE(fs::exists(run / "codecs" / "molecule.json"));

  const auto splits = json(run / "eval.json")["splits"];
  bool molecules_measured = false;
  for (const auto& split : splits)
    for (const auto& domain : split["domains"]) {
      if (domain["name"] == "text") {
        EXPECT_TRUE(domain["bits_per_byte"].is_number()) << domain;
      }
      if (domain["name"] != "molecule") continue;
      molecules_measured = true;
      EXPECT_TRUE(domain["bits_per_byte"].is_null()) << domain;
      EXPECT_LT(domain["loss"].get<double>(), 3.0) << "it has learnt something";
    }
  EXPECT_TRUE(molecules_measured) << splits;

  const auto kinds = json(run / "samples.json")["kinds"];
  ASSERT_EQ(kinds.size(), 1u);
  EXPECT_EQ(kinds[0]["documents"], 20);
  ASSERT_EQ(kinds[0]["measures"].size(), 5u);
  EXPECT_THAT(read_file(run / "report.html", 64 << 20), HasSubstr("valid molecules, share"));
  const std::string made = read_file(run / "samples" / "molecule.smi", 1 << 20);
  EXPECT_EQ(std::count(made.begin(), made.end(), '\n'), 20);

  const Ended generated = tokenwerk({"generate", run, "--as", "smi", "--samples", "5", "--out", path("five.smi")});
  ASSERT_EQ(generated.code, 0) << generated.err;
  const std::string five = read_file(path("five.smi"), 1 << 20);
  EXPECT_EQ(std::count(five.begin(), five.end(), '\n'), 5);
  EXPECT_EQ(five.find_first_not_of("CcNOFl1()=\n"), five.npos) << five;
  EXPECT_THAT(generated.err, HasSubstr("valid molecules"));
  EXPECT_EQ(tokenwerk({"generate", run, "--as", "molecule", "--samples", "5"}).out, five) << "equal seeds give equal molecules";

  // The codebook goes along with an exported model.
  ASSERT_EQ(tokenwerk({"export", run, "--out", path("hf")}).code, 0);
  EXPECT_EQ(tokenwerk({"generate", path("hf"), "--as", "smi", "--samples", "5", "-n", "20", "--temperature", "0.8", "--top-p", "0.95"}).out, five);

  const Ended unknown = tokenwerk({"generate", run, "--as", "wav"});
  EXPECT_EQ(unknown.code, 64);
  EXPECT_THAT(unknown.err, HasSubstr("molecule (smi)"));
  EXPECT_EQ(tokenwerk({"generate", run, "--out", path("x")}).code, 64);

  const Ended second = tokenwerk(words);
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_THAT(second.err, HasSubstr("(kept)"));
  EXPECT_THAT(second.err, HasSubstr("60 of 60 steps are done"));

  // Without its codebook the model still makes text, and says what is missing for the rest.
  fs::remove(run / "codecs" / "molecule.json");
  EXPECT_EQ(tokenwerk({"generate", run, "--prompt", "a", "-n", "3"}).code, 0);
  const Ended without = tokenwerk({"generate", run, "--as", "smi"});
  EXPECT_EQ(without.code, 66) << without.err;
  EXPECT_THAT(without.err, HasSubstr("molecule.json"));
}

TEST_F(Kinds, MoleculesAloneAreEnough) {
  write("drugs/all.smi", molecules(0, 432));
  const Ended e = tokenwerk(Words{"factory", path("drugs"), "--out", path("run"), "--codec.variants", "0", "--generate.documents", "5"} + tiny(20));
  ASSERT_EQ(e.code, 0) << e.err;
  const fs::path run = path("run");
  EXPECT_EQ(json(run / "samples.json")["kinds"][0]["documents"], 5);
  // One file: its lines are dealt, none is lost, none is in two splits.
  int64_t documents = 0;
  const auto tokens = json(run / "tokens" / "tokens.json")["splits"];
  for (const char* split : {"train", "val", "test"}) {
    ASSERT_TRUE(tokens.contains(split)) << tokens;
    documents += tokens[split]["coded"][0]["documents"].get<int64_t>();
  }
  EXPECT_EQ(documents, 432);
  // Those of train are written in other ways as well, and only those.
  ASSERT_EQ(tokenwerk({"tokenize", "--out", path("run"), "--codec.variants", "3", "--tokenizer.vocab_size", "300"}).code, 0);
  const auto more = json(run / "tokens" / "tokens.json")["splits"];
  EXPECT_GT(more["train"]["coded"][0]["documents"], 2 * tokens["train"]["coded"][0]["documents"].get<int64_t>());
  for (const char* split : {"val", "test"}) EXPECT_EQ(more[split]["coded"][0]["documents"], tokens[split]["coded"][0]["documents"]) << split;
  EXPECT_LT(json(run / "eval.json")["splits"][0]["loss"].get<double>(), 3.5);
}

TEST_F(Kinds, TablesAreSeriesUnlessTheyAreToBeText) {
  std::string table = "time,rpm,state\n";
  for (int i = 0; i < 50; ++i) table += std::to_string(i) + "," + std::to_string(800 + i * i % 97) + (i % 3 ? ",on\n" : ",off\n");
  for (const char* name : {"a", "b", "c"}) write("logs/" + std::string(name) + ".csv", table + std::string(name) + "1,2,on\n");
  const auto kind_of = [&](const Words& more) {
    const Ended e = tokenwerk(Words{"scan", path("logs"), "--out", path("run"), "--json"} + more);
    EXPECT_EQ(e.code, 0) << e.err;
    return nlohmann::json::parse(e.out)["files"][0]["kind"].get<std::string>();
  };
  EXPECT_EQ(kind_of({}), "series");
  EXPECT_EQ(kind_of({"--data.kinds", "[]"}), "csv");
  EXPECT_EQ(kind_of({"--data.kinds", "[\"molecule\"]"}), "csv");
  const Ended wrong = tokenwerk({"scan", path("logs"), "--out", path("run"), "--data.kinds", "[\"sound\"]"});
  EXPECT_EQ(wrong.code, 64);
  EXPECT_THAT(wrong.err, HasSubstr("audio, image, molecule, series, video, or all"));
}

TEST_F(Kinds, MeasurementsBecomeMeasurements) {
  for (int f = 0; f < 4; ++f) {
    std::string table = "rpm,speed\n";
    for (int i = 0; i < 300; ++i) table += std::to_string(800 + (i + f * 7) % 12 * 100) + "," + std::to_string((i + f * 7) / 4 % 5) + "\n";
    write("logs/" + std::to_string(f) + ".csv", table);
  }
  const Ended e = tokenwerk(Words{"factory", path("logs"), "--out", path("run"), "--generate.documents", "2"} + tiny(40));
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_TRUE(fs::exists(path("run/samples/series/0001.csv")));
  const Ended made = tokenwerk({"generate", path("run"), "--as", "csv", "--samples", "2", "--out", path("made"), "-n", "60"});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_TRUE(read_file(path("made/0002.csv"), 1 << 20).starts_with("rpm,speed\n"));
  EXPECT_EQ(tokenwerk({"generate", path("run"), "--as", "csv"}).code, 64) << "a file each wants a folder";
}

TEST_F(Kinds, SoundBecomesSound) {
  for (int f = 0; f < 4; ++f) {
    std::vector<float> x;
    for (int i = 0; i < 16000; ++i) x.push_back(0.3f * float(std::sin(i * 0.05 * (1 + f % 2)) + std::sin(i * 0.31)) * (i / 4000 % 2 ? 1.0f : 0.0f));
    write("sounds/" + std::to_string(f) + ".wav", wav_of(x, 8000));
  }
  write("sounds/bad.wav", "RIFFnothing");
  const Ended e = tokenwerk(Words{"factory", path("sounds"), "--out", path("run"), "--generate.documents", "2"} + tiny(20));
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(e.err, HasSubstr("bad.wav"));
  EXPECT_TRUE(read_file(path("run/samples/audio/0002.wav"), 1 << 20).starts_with("RIFF"));
  EXPECT_TRUE(fs::exists(path("run/codecs/audio.json")));
  const Ended made = tokenwerk({"generate", path("run"), "--as", "wav", "--out", path("made"), "-n", "60"});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_TRUE(fs::exists(path("made/0001.wav")));
  // Another codec of sound is another codebook: tokens are made anew.
  const Ended plain = tokenwerk({"tokenize", "--out", path("run"), "--codec.audio", "mulaw"});
  EXPECT_EQ(plain.code, 0) << plain.err;
  EXPECT_THAT(plain.err, HasSubstr("tokenizer: 516 tokens"));
}

// Pictures of two folders, which are their captions, one with a caption of its own.
TEST_F(Kinds, PicturesAreMadeForTheirCaptions) {
  for (int f = 0; f < 24; ++f) {
    Picture p{.width = 16, .height = 16, .channels = 3, .pixels = {}};
    for (int i = 0; i < 256; ++i) {
      const bool inside = i / 16 > f % 5 && i % 16 > 2 && i / 16 < 12;
      p.pixels.insert(p.pixels.end(), {uint8_t(f % 2 && inside ? 250 : 20), uint8_t(inside ? 40 : 20), uint8_t(!(f % 2) && inside ? 250 : 20 + f)});
    }
    write(fmt::format("pictures/{}/{}.png", f % 2 ? "red" : "blue", f), png_of(p));
  }
  write("pictures/red/1.txt", "a first one\n");
  write("pictures/red/cut.png", read_file(path("pictures/red/1.png"), 1 << 20).substr(0, 60));
  write("pictures/red/liar.jpg", "%PDF-1.4");
  const Ended e = tokenwerk(Words{"factory", path("pictures"), "--out", path("run"), "--generate.documents", "6"} + tiny(60));
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(e.err, HasSubstr("cut.png"));
  EXPECT_THAT(e.err, HasSubstr("no PNG, JPEG or idx file"));
  const auto files = json(path("run/inventory.json"))["files"];
  std::map<std::string, std::string> captions;
  for (const auto& f : files) {
    captions[f["path"]] = f["caption"];
    if (f["path"] == "red/1.txt") {
      EXPECT_EQ(f["reason"], "caption of red/1.png");
    }
  }
  EXPECT_EQ(captions["red/1.png"], "a first one");
  EXPECT_EQ(captions["red/3.png"], "red");
  EXPECT_EQ(captions["blue/2.png"], "blue");
  const auto tokens = json(path("run/tokens/tokens.json"));
  ASSERT_EQ(tokens["codecs"].size(), 1u);
  EXPECT_EQ(tokens["codecs"][0]["split"], "val");
  EXPECT_GT(tokens["codecs"][0]["measures"][0]["value"].get<double>(), 20);
  const auto kinds = json(path("run/samples.json"))["kinds"];
  ASSERT_EQ(kinds.size(), 1u);
  ASSERT_EQ(kinds[0]["shown"].size(), 6u);
  EXPECT_THAT(kinds[0]["shown"][0]["caption"].get<std::string>(), testing::AnyOf("red", "blue"));
  EXPECT_NE(kinds[0]["shown"][0]["caption"], kinds[0]["shown"][1]["caption"]) << "each caption in turn";
  EXPECT_TRUE(fs::exists(path("run") + "/" + kinds[0]["shown"][0]["path"].get<std::string>()));
  EXPECT_THAT(read_file(path("run/report.html"), 8 << 20), HasSubstr("<img alt=\"red\" src=\"data:image/png;base64,iVBOR"));
  const Ended made = tokenwerk({"generate", path("run"), "--as", "png", "--prompt", "red", "--samples", "2", "--out", path("made")});
  ASSERT_EQ(made.code, 0) << made.err;
  const std::string picture = read_file(path("made/0002-red.png"), 1 << 20);
  EXPECT_EQ(decode_png(picture, 64).width, 16) << "all pictures are of one size";
  // There and back by hand.
  const Ended ids = tokenwerk({"encode", path("run/tokenizer.json"), path("pictures/blue/2.png")});
  ASSERT_EQ(ids.code, 0) << ids.err;
  write("ids.txt", ids.out);
  const Ended back = tokenwerk({"decode", path("run/tokenizer.json"), path("ids.txt"), "--out", path("pages")});
  ASSERT_EQ(back.code, 0) << back.err;
  EXPECT_EQ(decode_png(read_file(path("pages/0001-1.png"), 1 << 20), 64).height, 16);
  EXPECT_EQ(tokenwerk({"encode", path("run/tokenizer.json"), path("pictures/red/liar.jpg")}).code, 65);
  EXPECT_EQ(tokenwerk({"encode", path("run/tokenizer.json"), path("pictures/blue/2.png"), "--out", path("ids.u16")}).code, 0);
  EXPECT_EQ(fs::file_size(path("ids.u16")), 2 * size_t(std::count(ids.out.begin(), ids.out.end(), ' ') + 1));
  // Another caption is other data.
  write("pictures/red/1.txt", "the first one\n");
  const Ended again = tokenwerk(Words{"factory", path("pictures"), "--out", path("run"), "--generate.documents", "2"} + tiny(60));
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.err, testing::Not(HasSubstr("tokens (kept)")));
}

// A page, its picture within: one document, from the folder to the page that is made.
TEST_F(Kinds, VideosAreMadeForTheirCaptions) {
  if (find_program(std::getenv("PATH"), "ffmpeg").empty()) GTEST_SKIP() << "ffmpeg is not installed";
  for (int f = 0; f < 12; ++f) {
    FrameFile file;
    for (int i = 0; i < 8; ++i) {  // a square that falls or rises
      Picture p{.width = 24, .height = 24, .channels = 3, .pixels = std::vector<uint8_t>(24 * 24 * 3, 20)};
      for (int y = 0; y < 8; ++y)
        for (int x = 0; x < 24; ++x) p.pixels[size_t((y + (f % 2 ? 2 * i : 16 - 2 * i)) * 24 + x) * 3 + size_t(f % 3)] = uint8_t(x / 8 == 1 ? 240 : 20);
      file.add(p);
    }
    write(fmt::format("films/{}/{}.mp4", f % 2 ? "falls" : "rises", f), file.mp4(5));
  }
  const std::string good = read_file(path("films/falls/1.mp4"), 1 << 20);
  write("films/falls/cut.mp4", good.substr(0, 600));
  write("films/falls/liar.avi", "a text");
  const Ended e = tokenwerk(Words{"factory", path("films"), "--out", path("run"), "--generate.documents", "2", "--codec.video_size", "24"} + tiny(60));
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(e.err, HasSubstr("cut.mp4"));
  EXPECT_THAT(e.err, HasSubstr("no video that can be read"));
  const auto kinds = json(path("run/samples.json"))["kinds"];
  ASSERT_EQ(kinds.size(), 1u);
  ASSERT_EQ(kinds[0]["shown"].size(), 2u);
  const fs::path shown = path("run") + "/" + kinds[0]["shown"][0]["path"].get<std::string>();
  EXPECT_EQ(shown.extension(), ".mp4");
  EXPECT_TRUE(fs::exists(fs::path(shown).replace_extension("png"))) << "a contact sheet";
  const std::string report = read_file(path("run/report.html"), 8 << 20);
  EXPECT_THAT(report, HasSubstr("src=\"data:video/mp4;base64,"));
  EXPECT_THAT(report, HasSubstr("H.264 (x264) of as many bytes"));
  const Ended made = tokenwerk({"generate", path("run"), "--as", "mp4", "--prompt", "falls", "--samples", "1", "--out", path("made")});
  ASSERT_EQ(made.code, 0) << made.err;
  int frames = 0;
  read_frames({read_file(path("made/0001-falls.mp4"), 1 << 20)}, 64, 5, [&](const Picture& p) {
    EXPECT_EQ(p.width, 24);
    ++frames;
  });
  EXPECT_GE(frames, 1);
}

TEST_F(Kinds, PagesWithPicturesBecomePagesWithPictures) {
  for (int i = 0; i < 20; ++i) {
    write(fmt::format("pages/{}.md", i), fmt::format("Part {} is\n![shown](img/{}.png)\nhere.\n", i, i));
    Picture p{.width = 8, .height = 8, .channels = 1, .pixels = std::vector<uint8_t>(64, uint8_t(12 * i))};
    write(fmt::format("pages/img/{}.png", i), png_of(p));
  }
  const Ended e = tokenwerk(Words{"factory", path("pages"), "--out", path("run"), "--data.near_duplicates", "0", "--generate.documents", "2"} + tiny(250) + Words{"--training.seq_len", "64"});
  ASSERT_EQ(e.code, 0) << e.err;
  const auto tokens = json(path("run/tokens/tokens.json"))["splits"]["train"];
  EXPECT_EQ(tokens["coded"][0]["files"], 0) << "they are no documents of their own";
  EXPECT_EQ(tokens["coded"][0]["documents"], tokens["documents"]);
  for (const auto& split : json(path("run/eval.json"))["splits"]) EXPECT_TRUE(split["bits_per_byte"].is_null()) << "a picture has no bytes of text";
  const Ended made = tokenwerk({"generate", path("run"), "--as", "md", "--prompt", "Part 3 is\n", "--greedy", "-n", "40", "--out", path("made")});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(read_file(path("made/0001.md"), 1 << 20), HasSubstr("![image](0001-1.png)"));
  EXPECT_EQ(decode_png(read_file(path("made/0001-1.png"), 1 << 20), 64).width, 8);
  EXPECT_EQ(tokenwerk({"generate", path("run"), "--as", "md", "--prompt", "x"}).code, 64) << "pages want a folder";
  // Which model saw the picture: that which saw its page.
  const Ended seen = tokenwerk({"inspect", path("run"), "--provenance", path("pages/img/3.png")});
  EXPECT_EQ(seen.code, 0) << seen.err;
  EXPECT_THAT(seen.out, HasSubstr("a part of 3.md"));
  EXPECT_THAT(seen.out, HasSubstr("1 document"));
}

TEST_F(Kinds, AFileWithoutOneMoleculeIsNamed) {
  const std::string folder = documents();
  write("documents/bad.smi", "C1CC\nnonsense\n");
  write("documents/empty.smi", "");
  write("documents/zeros.smi", std::string(1000, '\0'));
  const Ended e = tokenwerk({"scan", folder, "--out", path("run")});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(e.out + e.err, HasSubstr("bad.smi: no molecule inside: 2 of 2 molecules are left out"));
  EXPECT_THAT(e.out + e.err, HasSubstr("empty.smi: empty"));
  EXPECT_THAT(e.out + e.err, HasSubstr("zeros.smi: no molecule inside"));
}

}  // namespace
}  // namespace tw
