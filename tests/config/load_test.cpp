#include "src/config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "src/config/files.h"
#include "src/config/values.h"
#include "tests/config/config_files.h"

namespace tw {
namespace {

using testing::HasSubstr;
using Texts = std::vector<std::string>;

TEST(Load, FilesOverridesAndOrigins) {
  ConfigFiles files;
  const auto path = files.write("a.toml",
                                "[training]\nsteps = \"2Ki\"\n  seq_len = 128\n[optimizer]\nlr = 3e-4\nweight_decay = 0\n"
                                "[data]\ntrain = [\"a.h5\", \"b.h5\"]\nshuffle = false\n[model]\ntype = \"llama\"\n");
  const Config c = load_config({path}, {"--training.seq_len=64", "--optimizer.beta1", "0.8", "--data.val", "v.h5",
                                        "--parallelism.data_parallel_size", "-1", "--generate.prompts",
                                        R"(["Once, upon", "ü\n"])"});
  EXPECT_EQ(c.get<int64_t>("training.steps"), 2048);
  EXPECT_EQ(c.origin("training.steps"), path.string() + ":2:9");
  EXPECT_EQ(c.get<int>("training.seq_len"), 64);
  EXPECT_EQ(c.origin("training.seq_len"), "command line");
  EXPECT_EQ(c.get<double>("optimizer.lr"), 3e-4);
  EXPECT_EQ(c.get<double>("optimizer.weight_decay"), 0.0);
  EXPECT_EQ(c.get<double>("optimizer.beta1"), 0.8);
  EXPECT_EQ(c.get<Texts>("data.train"), (Texts{"a.h5", "b.h5"}));
  EXPECT_EQ(c.get<Texts>("data.val"), Texts{"v.h5"});
  EXPECT_EQ(c.get<Texts>("generate.prompts"), (Texts{"Once, upon", "ü\n"}));
  EXPECT_FALSE(c.get<bool>("data.shuffle"));
  EXPECT_EQ(c.get<std::string>("model.type"), "llama");
  EXPECT_EQ(c.origin("model.hidden_size"), "default");
  EXPECT_TRUE(c.is_default("model.hidden_size"));
  EXPECT_FALSE(c.is_default("training.seq_len"));
}

TEST(Load, LaterFilesAndIncludersWin) {
  ConfigFiles files;
  std::filesystem::create_directories(files.folder() / "sub");
  files.write("base.toml", "[training]\nsteps = 1\nseed = 1\nseq_len = 32\n");
  files.write("sub/middle.toml", "include = \"../base.toml\"\n[training]\nseed = 2\n");
  const auto top = files.write("top.toml", "include = \"sub/middle.toml\"\n[training]\nsteps = 3\n");
  const auto last = files.write("last.json", R"({"training": {"threads": 1, "steps": 9}})");
  const Config one = load_config({top}, {});
  EXPECT_EQ(one.get<int>("training.steps"), 3);
  EXPECT_EQ(one.get<int>("training.seed"), 2);
  EXPECT_EQ(one.get<int>("training.seq_len"), 32);
  EXPECT_THAT(one.origin("training.seq_len"), HasSubstr("base.toml:4:11"));
  const Config two = load_config({top, last}, {});
  EXPECT_EQ(two.get<int>("training.steps"), 9);
  EXPECT_EQ(two.origin("training.steps"), last.string() + ":/training/steps");
}

TEST(Load, IncludeErrors) {
  ConfigFiles files;
  const auto self = files.write("self.toml", "include = \"./self.toml\"\n");
  EXPECT_EQ(load_ending({self}).code, ExitCode::config);
  EXPECT_THAT(load_ending({self}).message, HasSubstr("circle"));
  files.write("b.toml", "include = \"a.toml\"\n");
  EXPECT_THAT(load_ending({files.write("a.toml", "include = \"b.toml\"\n")}).message, HasSubstr("circle"));
  const Ending missing = load_ending({files.write("c.toml", "include = \"nowhere.toml\"\n")});
  EXPECT_EQ(missing.code, ExitCode::no_input);
  EXPECT_THAT(missing.message, HasSubstr("c.toml:1:11"));
  EXPECT_THAT(missing.message, HasSubstr("nowhere.toml"));
  for (int i = 0; i < 12; ++i)
    files.write("d" + std::to_string(i) + ".toml", "include = \"d" + std::to_string(i + 1) + ".toml\"\n");
  EXPECT_THAT(load_ending({files.folder() / "d0.toml"}).message, HasSubstr("deeper than 8"));
  EXPECT_EQ(load_ending({files.write("e.toml", "include = 3\n")}).code, ExitCode::config);
  EXPECT_EQ(load_ending({files.folder()}).code, ExitCode::no_input);
  EXPECT_EQ(load_ending({files.folder() / "none.toml"}).code, ExitCode::no_input);
  EXPECT_EQ(load_ending({"/dev/zero"}).code, ExitCode::no_input);
}

TEST(Load, MessagesNamePlaceKeyAndRemedy) {
  ConfigFiles files;
  const auto message = [&](const std::string& text) {
    const auto path = files.write("m.toml", text);
    const Ending end = load_ending({path});
    EXPECT_EQ(end.code, ExitCode::config) << text;
    EXPECT_THAT(end.message, HasSubstr(path.string())) << text;
    return end.message;
  };
  EXPECT_THAT(message("[training]\nstpes = 3\n"), HasSubstr(":2:1: unknown key training.stpes; did you mean training.steps?"));
  EXPECT_THAT(message("\n[trainign]\nsteps = 3\n"), HasSubstr("did you mean training.steps?"));
  EXPECT_THAT(message("[modle]\n"), HasSubstr("did you mean model?"));
  EXPECT_THAT(message("lr = 3\n"), HasSubstr("did you mean optimizer.lr?"));
  EXPECT_THAT(message("[training]\n steps = 1.5\n"), HasSubstr(":2:10: training.steps wants a size"));
  EXPECT_THAT(message("[optimizer]\nlr = \"1e-4\"\n"), HasSubstr(":2:6: optimizer.lr wants a number, for example 0.5 or 1e-4, not \"1e-4\""));
  EXPECT_THAT(message("[optimizer]\nlr = -1\n"), HasSubstr("optimizer.lr = -1 is out of range: 0 to 1000"));
  EXPECT_THAT(message("[training]\ndtype = \"bf61\"\n"), HasSubstr("did you mean \"bf16\"?"));
  EXPECT_THAT(message("[training]\nsteps = \n"), HasSubstr(":2:"));
  EXPECT_THAT(message("[training]\nsteps = 1\nsteps = 2\n"), HasSubstr(":3:"));
  EXPECT_THAT(message("training = 3\n"), HasSubstr("write [training]"));
  EXPECT_THAT(message("[[training]]\nsteps = 1\n"), HasSubstr("write [training]"));
  EXPECT_THAT(message("[training.steps]\nx = 1\n"), HasSubstr("training.steps wants a size, not this table"));
  EXPECT_THAT(message("[data]\ntrain = [\"a\", 1]\n"), HasSubstr("data.train wants a list of texts"));
  EXPECT_THAT(message("[training]\nsteps = 1\nepochs = 1\n"), HasSubstr("only one may decide"));
  EXPECT_THAT(message("[parallelism]\nvirtual_ranks = 6\n"), HasSubstr("not a power of two"));
  EXPECT_THAT(message("[data]\nraw_bits = 8\n"), HasSubstr("none of 0, 16, 32"));
  for (const char* split : {"0.9,0.1", "0.9,0.05,0.05,0", "a", "", "0.5,0.5,0.5", "1.1,-0.1,0", "0,1,0", "0.9,0.05,0.05,",
                            "0.9;0.05;0.05", "nan,0,1"})
    EXPECT_THAT(message(fmt::format("[data]\nsplit = \"{}\"\n", split)), HasSubstr("three shares")) << split;
  EXPECT_EQ(load_ending({files.write("ok.toml", "[data]\nsplit = \"0.98, 0.01, 0.01\"\n")}).message, "");
}

TEST(Load, CommandLineErrors) {
  const auto message = [](const Texts& words) {
    const Ending end = load_ending({}, words);
    EXPECT_EQ(end.code, ExitCode::config);
    return end.message;
  };
  EXPECT_THAT(message({"--training.steps"}), HasSubstr("has no value"));
  EXPECT_THAT(message({"--training.steps", "--optimizer.lr"}), HasSubstr("has no value"));
  EXPECT_THAT(message({"training.steps=3"}), HasSubstr("is no setting"));
  EXPECT_THAT(message({"--training.steps=abc"}), HasSubstr("command line: training.steps wants a size"));
  EXPECT_THAT(message({"--training.steps="}), HasSubstr("wants a size"));
  EXPECT_THAT(message({"--training.seed=1.0"}), HasSubstr("whole number"));
  EXPECT_THAT(message({"--training.seed=99999999999999999999"}), HasSubstr("whole number"));
  EXPECT_THAT(message({"--optimizer.lr=nan"}), HasSubstr("out of range"));
  EXPECT_THAT(message({"--data.shuffle", "yes"}), HasSubstr("true or false"));
  EXPECT_THAT(message({"--data.train", "[1]"}), HasSubstr("list of texts"));
  EXPECT_THAT(message({"--data.train", "[\"a\"]\nx = 1"}), HasSubstr("list of texts"));
  EXPECT_THAT(message({"--run.dir", "\xff"}), HasSubstr("UTF-8"));
  EXPECT_THAT(message({"--"}), HasSubstr("is no setting"));
}

TEST(Load, EveryKeyRefusesWrongTypesAndValuesOutOfRange) {
  ConfigFiles files;
  int tried = 0, right = 0;
  for (const auto& key : config_keys()) {
    const auto refused = [&](const std::string& value) {
      const auto path = files.write("k.toml", fmt::format("[{}]\n{} = {}\n", key.section(), key.leaf(), value));
      const Ending end = load_ending({path});
      ++tried, right += end.code == ExitCode::config;
      EXPECT_EQ(end.code, ExitCode::config) << key.name << " = " << value;
      EXPECT_THAT(end.message, HasSubstr(":2:"));
      EXPECT_THAT(end.message, HasSubstr(std::string(key.name)));
    };
    for (const char* value : {"{a = 1}", "1979-05-27", "[[1]]", "[1, 2]"}) refused(value);
    const bool words = key.type == KeyType::text || key.type == KeyType::choice;
    if (!words) refused("\"word\"");
    if (words || key.type == KeyType::text_list) refused("12");
    if (key.type != KeyType::boolean) refused("true");
    if (key.type != KeyType::text_list) refused("[\"a\"]");
    if (key.type == KeyType::choice) refused("\"nosuchword\"");
    if (key.type == KeyType::text) refused("\"a\\u0000b\"");
    if (key.type == KeyType::integer || key.type == KeyType::size || key.type == KeyType::real) {
      refused(fmt::format("{}", int64_t(key.low) - 1));
      refused(fmt::format("{}", int64_t(key.high) + 1));
      refused("nan");
      refused("inf");
    }
    if (key.type == KeyType::integer || key.type == KeyType::size) refused("1.0");
  }
  std::printf("[          ] %d of %d values of a wrong type or out of range are refused: %.2f %%\n", right, tried, 100.0 * right / tried);
}

TEST(Load, QuantitiesWithUnits) {
  const auto value = [](KeyType type, std::string_view text) {
    double v = -1;
    return parse_quantity(type, text, v) ? v : -1;
  };
  EXPECT_EQ(value(KeyType::size, "512"), 512);
  EXPECT_EQ(value(KeyType::size, "64Ki"), 65536);
  EXPECT_EQ(value(KeyType::size, "1.5Ki"), 1536);
  EXPECT_EQ(value(KeyType::size, "10 M"), 1e7);
  EXPECT_EQ(value(KeyType::size, "1.5"), -1);
  EXPECT_EQ(value(KeyType::size, "64KiB"), -1);
  EXPECT_EQ(value(KeyType::size, "Ki"), -1);
  EXPECT_EQ(value(KeyType::size, "inf"), -1);
  EXPECT_EQ(value(KeyType::size, ""), -1);
  EXPECT_EQ(value(KeyType::duration, "30m"), 1800);
  EXPECT_EQ(value(KeyType::duration, "1.5h"), 5400);
  EXPECT_EQ(value(KeyType::energy, "50kJ"), 50000);
  EXPECT_EQ(value(KeyType::energy, "0.5kWh"), 1.8e6);
  EXPECT_EQ(value(KeyType::energy, "5kg"), -1);
}

TEST(Load, MisuseByCodeIsABug) {
  Config c;
  const auto code = [](auto&& call) {
    try {
      call();
    } catch (const Error& e) {
      return e.code();
    }
    return ExitCode::ok;
  };
  EXPECT_EQ(code([&] { c.get<int>("training.nosuch"); }), ExitCode::bug);
  EXPECT_EQ(code([&] { c.get<double>("training.steps"); }), ExitCode::bug);
  EXPECT_EQ(code([&] { c.get<int>("optimizer.lr"); }), ExitCode::bug);
  EXPECT_EQ(code([&] { c.origin("x"); }), ExitCode::bug);
  EXPECT_EQ(code([&] { c.set("x.y", int64_t(1), "derived"); }), ExitCode::bug);
  EXPECT_EQ(code([&] { c.set("training.steps", int64_t(-1), "derived"); }), ExitCode::config);
  c.set("training.steps", int64_t(1) << 40, "derived");
  EXPECT_EQ(code([&] { c.get<int>("training.steps"); }), ExitCode::config);
  EXPECT_EQ(c.get<int64_t>("training.steps"), int64_t(1) << 40);
  EXPECT_EQ(c.origin("training.steps"), "derived");
}

TEST(Load, ResolvedFileLoadsBackEqual) {
  ConfigFiles files;
  Config c;
  c.set("optimizer.lr", 0.1 + 0.2, "derived\nfrom \xff two \x01 lines");
  c.set("optimizer.eps", 5e-324, "derived");
  c.set("training.epochs", 3.0, "command line");
  c.set("data.train", Texts{"", "a\"b\\c\n\t\x01\x7f", "grün 日本 🙂", "'''\"\"\""}, "command line");
  c.set("run.dir", std::string("# not a comment"), "command line");
  c.set("training.max_tokens", int64_t(0), "command line");
  const Config back = load_config({files.write("r.toml", c.to_toml())}, {});
  EXPECT_TRUE(back == c);
  EXPECT_FALSE(back == Config());
  EXPECT_THAT(c.to_toml(), HasSubstr("epochs = 3.0  # command line\n"));
  EXPECT_THAT(c.to_toml(), HasSubstr("steps = 0  # default\n"));
  // Every key is in it once more than nothing: a file of all defaults equals none.
  EXPECT_TRUE(load_config({files.write("d.toml", Config().to_toml())}, {}) == Config());
}

TEST(Load, JsonIsCheckedAlike) {
  ConfigFiles files;
  const auto ok = files.write("a.json", R"({"training": {"steps": 7, "max_tokens": 0}, "optimizer": {"lr": 1},
      "data": {"train": ["x"], "shuffle": false}, "model": {"type": "llama"}, "eval": {}})");
  const Config c = load_config({ok}, {});
  EXPECT_EQ(c.get<int>("training.steps"), 7);
  EXPECT_EQ(c.get<double>("optimizer.lr"), 1.0);
  EXPECT_EQ(c.get<Texts>("data.train"), Texts{"x"});
  const auto message = [&](const std::string& text) {
    const Ending end = load_ending({files.write("b.json", text)});
    EXPECT_EQ(end.code, ExitCode::config) << text;
    return end.message;
  };
  EXPECT_THAT(message(R"({"training": {"stepz": 7}})"), HasSubstr("b.json:/training/stepz: unknown key training.stepz; did you mean training.steps?"));
  EXPECT_THAT(message(R"({"training": {"steps": 7, "steps": 8}})"), HasSubstr("given twice"));
  EXPECT_THAT(message(R"({"training": {"steps": "x"}})"), HasSubstr("wants a size"));
  EXPECT_THAT(message(R"({"training": {"steps": null}})"), HasSubstr("not this null"));
  EXPECT_THAT(message(R"({"training": {"steps": 18446744073709551615}})"), HasSubstr("wants a size"));
  EXPECT_THAT(message(R"({"training": 3})"), HasSubstr("is a section"));
  EXPECT_THAT(message(R"({"nosuch": {}})"), HasSubstr("unknown"));
  EXPECT_THAT(message("[1]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(message("{\n\"training\": {,}}"), HasSubstr("line 2"));
  message("");
}

TEST(Load, EveryConfigOfTheRepositoryLoads) {
  int loaded = 0;
  for (const auto& file : std::filesystem::directory_iterator(TW_SOURCE_DIR "/configs")) {
    SCOPED_TRACE(file.path());
    std::vector<FileNode> sweeps;  // of the example of one
    const Config c = load_config({file.path()}, {}, &sweeps);
    const int lengths = int(!c.is_default("training.steps")) + int(!c.is_default("training.epochs")) +
                        int(!c.is_default("training.max_tokens"));
    EXPECT_EQ(lengths, 1);
    EXPECT_EQ(c.get<int>("model.hidden_size") % c.get<int>("model.num_attention_heads"), 0);
    ++loaded;
  }
  EXPECT_GE(loaded, 4);
}

}  // namespace
}  // namespace tw
