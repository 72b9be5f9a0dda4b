// Files nobody wrote by hand: cut, damaged, deep, huge. Each loads or ends in an Error, soon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <random>

#include "src/core/file.h"
#include "tests/config/config_files.h"

namespace tw {
namespace {

using testing::HasSubstr;

std::string repeat(std::string_view text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

void expect_handled(const std::filesystem::path& path) {
  const std::clock_t start = std::clock();  // CPU time: the machine may be busy
  const Ending end = load_ending({path});
  EXPECT_TRUE(end.code == ExitCode::ok || end.code == ExitCode::config || end.code == ExitCode::no_input) << end.message;
  EXPECT_LT(double(std::clock() - start) / CLOCKS_PER_SEC, 2.0);
}

TEST(Hostile, DeepNestingIsRefused) {
  ConfigFiles files;
  const size_t n = 100000;
  for (const std::string& text :
       {"a = " + repeat("[", n), repeat("a.", n) + "a = 1", "[" + repeat("a.", n) + "a]", "a = " + repeat("{a=", n),
        "x = {" + repeat("a . \"b.c\" . ", n / 2) + "a = 1}", repeat("[", n), "a = {" + repeat("a.a.a.a={", n / 2),
        "a = \"\"\"x\"\"\"\"\"\n" + repeat("b.", n) + "c = 1"}) {
    const Ending end = load_ending({files.write("deep.toml", text)});
    EXPECT_EQ(end.code, ExitCode::config);
    EXPECT_THAT(end.message, HasSubstr("too deep")) << text.substr(0, 40);
  }
  for (const std::string& text : {repeat("[", n), repeat("{\"a\":", n), "{\"a\": " + repeat("[", n) + repeat("]", n) + "}"})
    EXPECT_EQ(load_ending({files.write("deep.json", text)}).code, ExitCode::config);
}

TEST(Hostile, DotsAndBracketsInTextsAreNoNesting) {
  ConfigFiles files;
  const auto path = files.write("prose.toml",
                                "# a.b.c.d.e.f.g.h.i.j.k [[[[[[[[[[[[\n[generate]\nprompts = ['a.b.c.d.e.f.g.h.i.j.k.l', "
                                "\"\"\"[[[[[[[[[[[ \\\" ......\n........\"\"\", \"{{{{{{{{{{{{ \\\\\", '''it's .........''']\n");
  EXPECT_EQ(load_ending({path}).message, "");
}

TEST(Hostile, SizesAndOddBytes) {
  ConfigFiles files;
  EXPECT_THAT(load_ending({files.write("big.toml", std::string(3 << 20, '#'))}).message, HasSubstr("at most 1048576"));
  expect_handled(files.write("line.toml", "a = \"" + std::string(1 << 19, 'x') + "\""));
  expect_handled(files.write("keys.toml", repeat("aaaa", 1 << 17) + " = 1"));
  expect_handled(files.write("nul.toml", std::string(1000, '\0')));
  expect_handled(files.write("bom.toml", "\xef\xbb\xbf[training]\nsteps = 1\n"));
  expect_handled(files.write("latin1.toml", "[run]\ndir = \"gr\xfcn\"\n"));
  expect_handled(files.write("latin1.json", "{\"run\": {\"dir\": \"gr\xfcn\"}}"));
  EXPECT_EQ(load_ending({files.write("empty.toml", "")}).code, ExitCode::ok);
  EXPECT_EQ(load_ending({files.write("crlf.toml", "[training]\r\nsteps = 1\r\n")}).code, ExitCode::ok);
  std::string many;
  for (int i = 0; i < 40000; ++i) many += "k" + std::to_string(i) + " = 1\n";
  expect_handled(files.write("many.toml", "[training]\n" + many));
}

TEST(Hostile, TruncatedAndDamagedFiles) {
  ConfigFiles files;
  std::vector<std::string> seeds;
  for (const char* name : {"tiny-cpu.toml", "gpt2-124m.toml", "llama-1b.toml"})
    seeds.push_back(read_file(std::filesystem::path(TW_SOURCE_DIR) / "configs" / name));
  seeds.push_back(Config().to_toml());
  seeds.push_back("a = {b = [1, 2.5e3, 'x', \"\\u00e4\", '''y''', \"\"\"z\"\"\"], c.d = 1979-05-27T07:32:00Z}\n");
  const std::string json = R"({"training": {"steps": 7, "dtype": "bf16"}, "data": {"train": ["a", "\u00e4"]}, "optimizer": {"lr": 1e-4}})";
  for (size_t cut = 0; cut <= seeds[0].size(); ++cut) expect_handled(files.write("cut.toml", seeds[0].substr(0, cut)));
  for (size_t cut = 0; cut <= json.size(); ++cut) expect_handled(files.write("cut.json", json.substr(0, cut)));
  std::mt19937 random(1);
  const std::string marks = "[]{}=\"'\\.#,\n\t -+_0e\x01\x7f\xff\xc3u";
  for (int i = 0; i < 1500; ++i) {
    const bool is_json = i % 4 == 0;
    std::string text = is_json ? json : seeds[random() % seeds.size()];
    for (unsigned k = 1 + random() % 8; k > 0 && !text.empty(); --k) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0: text[at] = marks[random() % marks.size()]; break;
        case 1: text.erase(at, 1 + random() % 8); break;
        case 2: text.insert(at, 1, marks[random() % marks.size()]); break;
        case 3: text.insert(at, text.substr(random() % text.size(), random() % 40)); break;
      }
    }
    expect_handled(files.write(is_json ? "m.json" : "m.toml", text));
  }
}

TEST(Hostile, OverridesOfAnyBytes) {
  std::mt19937 random(2);
  for (int i = 0; i < 5000; ++i) {
    const auto& key = config_keys()[random() % config_keys().size()];
    std::string value;
    for (unsigned k = random() % 12; k > 0; --k) value += char(1 + random() % 255);
    if (i % 3 == 0) value.insert(0, "[\"");
    const Ending end = load_ending({}, {"--" + std::string(key.name) + "=" + value});
    EXPECT_TRUE(end.code == ExitCode::ok || end.code == ExitCode::config) << end.message;
  }
}

}  // namespace
}  // namespace tw
