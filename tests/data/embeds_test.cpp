// Pages in which pictures, sound and tables stand.
#include "src/data/embeds.h"

#include <gmock/gmock.h>

#include <cmath>

#include "src/codec/audio/sound.h"
#include "src/codec/id_space.h"
#include "src/codec/image/picture.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/file.h"
#include "src/data/token_file.h"
#include "src/data/tokenize.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {
using testing::HasSubstr;

TEST(LinkedPath, StaysWithinTheFolder) {
  EXPECT_EQ(linked_path("a/page.md", "x.png"), "a/x.png");
  EXPECT_EQ(linked_path("page.md", "x.png#top"), "x.png");
  EXPECT_EQ(linked_path("a/b/page.md", "../x%20y.png"), "a/x y.png");
  EXPECT_EQ(linked_path("a/page.md", "./b/../x.png"), "a/x.png");
  for (const char* out : {"../../x.png", "/etc/passwd", "https://example.org/x.png", "", "#top", "..", "%2e%2e/%2e%2e/x.png", "x%00.png", "."}) EXPECT_EQ(linked_path("a/page.md", out), "") << out;
}

class Embeds : public testing::Test {
 protected:
  static std::string picture(int kind) {
    Picture p{.width = 8, .height = 8, .channels = 1, .pixels = {}};
    for (int i = 0; i < 64; ++i) p.pixels.push_back(uint8_t((i % 8 + kind) % 2 ? 255 : 0));
    return png_of(p);
  }
  static std::string tone() {
    std::vector<float> x;
    for (int i = 0; i < 4000; ++i) x.push_back(0.4f * float(std::sin(i * 0.3)));
    return wav_of(x, 8000);
  }
  TokenizeResult run(const Inventory& inventory, int threads = 2) {
    TokenizeOptions options;
    options.out = folder_ / "run";
    options.vocab_size = 300;
    options.threads = threads;
    return tokenize(inventory, options);
  }
  ScratchFolder folder_;
};

TEST_F(Embeds, APictureStandsWhereThePageLeadsToIt) {
  folder_.write("docs/hand/page.md", "# Gears\n\nSee ![a red gear](pics/gear.png \"title\") and [the noise](noise.wav), not [this](other.txt) or ![that](gone.png) [x].\n");
  folder_.write("docs/hand/pics/gear.png", picture(0));
  folder_.write("docs/hand/noise.wav", tone());
  folder_.write("docs/hand/other.txt", "An ordinary text, long enough to be one.");
  folder_.write("docs/alone.png", picture(1));
  const Inventory inventory = scan(folder_ / "docs", {.shares = {1, 0, 0}});
  std::map<std::string, std::string> part_of;
  for (const ScannedFile& f : inventory.files) part_of[f.path] = f.part_of;
  EXPECT_EQ(part_of["hand/pics/gear.png"], "hand/page.md");
  EXPECT_EQ(part_of["hand/noise.wav"], "hand/page.md");
  EXPECT_EQ(part_of["alone.png"], "");
  const TokenizeResult result = run(inventory);
  EXPECT_TRUE(result.left_out.empty());
  const auto tokenizer = TextTokenizer::load(result.tokenizer);
  const auto file = TokenFile::open(result.of(Split::train).file, 0, true);
  ASSERT_EQ(file->documents().size(), 3u) << "the page, the text, the picture alone";
  const IdSpace space(*tokenizer);
  for (const Document& d : file->documents()) {
    if (d.path != "hand/page.md") continue;
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < d.tokens; ++i) ids.push_back((*file)[d.first_token + i]);
    const auto parts = space.parts(ids);
    ASSERT_EQ(parts.size(), 5u);
    EXPECT_EQ(tokenizer->decode(parts[0].ids), "# Gears\n\nSee a red gear");
    ASSERT_TRUE(parts[1].range);
    EXPECT_EQ(parts[1].range->name, "image");
    EXPECT_EQ(parts[1].ids.size(), 2u + 2 * 4);
    EXPECT_TRUE(parts[1].closed);
    EXPECT_EQ(tokenizer->decode(parts[2].ids), " and the noise");
    EXPECT_EQ(parts[3].range->name, "audio");
    EXPECT_EQ(tokenizer->decode(parts[4].ids, true), ", not [this](other.txt) or ![that](gone.png) [x].\n");
  }
  int64_t coded = 0;
  for (const CodedTokens& c : result.of(Split::train).coded) coded += c.documents;
  EXPECT_EQ(coded, 3);
  const std::string bytes = read_file(result.of(Split::train).file);
  EXPECT_TRUE(run(inventory).of(Split::train).reused);
  std::filesystem::remove_all(folder_ / "run");
  EXPECT_EQ(read_file(run(inventory, 1).of(Split::train).file), bytes) << "threads change nothing";
}

TEST_F(Embeds, OtherLabelsAreOtherTokens) {
  folder_.write("docs/a-images-idx3-ubyte", std::string("\0\0\x08\x03\0\0\0\2\0\0\0\1\0\0\0\1ab", 18));
  folder_.write("docs/a-labels-idx1-ubyte", std::string("\0\0\x08\x01\0\0\0\2\3\4", 10));
  const std::string before = scan(folder_ / "docs", {.shares = {1, 0, 0}}).fingerprint();
  EXPECT_EQ(scan(folder_ / "docs", {.shares = {1, 0, 0}}).fingerprint(), before);
  folder_.write("docs/a-labels-idx1-ubyte", std::string("\0\0\x08\x01\0\0\0\2\3\5", 10));
  EXPECT_NE(scan(folder_ / "docs", {.shares = {1, 0, 0}}).fingerprint(), before);
}

TEST_F(Embeds, PicturesOfHtmlPagesStandInThem) {
  const std::string page =
      "<html><head><title>t</title></head><body><h1>Gears</h1><p>See <img src=\"pics/gear%201.png\" alt=\"a red &amp; <b>large</b> gear\"> before, "
      "or <a href='noise.wav'>the noise</a>, not <a href=other.html>this</a> or <img src=gone.png alt=that>.</p>"
      "<figure><img src=b.png></figure><audio controls><source src='tone.wav'>no player</audio><nav><img src='nav.png'></nav><p>End.</body></html>";
  folder_.write("docs/hand/page.html", page);
  for (const char* name : {"pics/gear 1.png", "b.png", "nav.png"}) folder_.write("docs/hand/" + std::string(name), picture(name[0] == 'b') + (name[0] == 'n' ? " " : ""));
  folder_.write("docs/hand/noise.wav", tone());
  folder_.write("docs/hand/tone.wav", tone() + "x");
  const Inventory inventory = scan(folder_ / "docs", {.shares = {1, 0, 0}});
  std::map<std::string, std::string> part_of;
  for (const ScannedFile& f : inventory.files) part_of[f.path] = f.part_of;
  for (const char* name : {"hand/pics/gear 1.png", "hand/b.png", "hand/noise.wav", "hand/tone.wav"}) EXPECT_EQ(part_of[name], "hand/page.html") << name;
  EXPECT_EQ(part_of["hand/nav.png"], "") << "navigation is no text";
  const TokenizeResult result = run(inventory);
  const auto tokenizer = TextTokenizer::load(result.tokenizer);
  const auto file = TokenFile::open(result.of(Split::train).file, 0, true);
  const IdSpace space(*tokenizer);
  std::string shown;
  for (const Document& d : file->documents()) {
    if (d.path != "hand/page.html") continue;
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < d.tokens; ++i) ids.push_back((*file)[d.first_token + i]);
    for (const auto& part : space.parts(ids)) shown += part.range ? "{" + std::string(part.range->name) + "}" : tokenizer->decode(part.ids, true);
  }
  EXPECT_EQ(shown, "Gears\n\nSee a red & large gear{image} before, or the noise{audio}, not this or .{image}{audio}\n\nEnd.\n");
}

TEST_F(Embeds, PartsGoWithTheirDocumentAndAreLeftOutByName) {
  for (int i = 0; i < 12; ++i) {
    folder_.write(fmt::format("docs/{}.md", i), fmt::format("Page {} shows\n![it]({}.png)\nand says no more than that, number {}.\n", i, i, i * i));
    Picture p{.width = 8, .height = 8, .channels = 1, .pixels = std::vector<uint8_t>(64, uint8_t(20 * i))};
    folder_.write(fmt::format("docs/{}.png", i), png_of(p));
  }
  const Inventory inventory = scan(folder_ / "docs", {.shares = {0.5, 0.25, 0.25}});
  std::map<std::string, Split> split;
  for (const ScannedFile& f : inventory.files) split[f.path] = f.split;
  for (int i = 0; i < 12; ++i) EXPECT_EQ(split[fmt::format("{}.png", i)], split[fmt::format("{}.md", i)]) << i;
  std::string changed;
  for (int i = 0; i < 12 && changed.empty(); ++i)
    if (split[fmt::format("{}.md", i)] == Split::val) changed = fmt::format("{}.png", i);
  folder_.write("docs/" + changed, "no picture any more");
  const TokenizeResult result = run(inventory);
  ASSERT_EQ(result.left_out.size(), 1u);
  EXPECT_THAT(result.left_out[0], HasSubstr(changed + ": "));
  // A long page, which is encoded in parts, has its pictures too.
  std::string lines;
  for (int i = 0; lines.size() < size_t(5) << 20; ++i) lines += fmt::format("Line {} of many that make a page long. ", i) + (i % 20000 == 77 ? "![it](0.png)\n" : "\n");
  std::filesystem::remove_all(folder_ / "docs");
  folder_.write("docs/0.md", lines);
  folder_.write("docs/0.png", picture(0));
  std::filesystem::remove_all(folder_ / "run");
  const TokenizeResult longer = run(scan(folder_ / "docs", {.shares = {1, 0, 0}}));
  ASSERT_EQ(longer.of(Split::train).coded.size(), 1u);
  EXPECT_GE(longer.of(Split::train).coded[0].documents, 5) << "each time it is shown";
}

}  // namespace
}  // namespace tw
