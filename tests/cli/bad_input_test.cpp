// Bad input: a clear sentence, the right exit code, nothing lost.
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

class BadInput : public Cli {
 protected:
  static void expect(const Ended& e, int code, const char* text) {
    EXPECT_EQ(e.code, code) << e.err;
    EXPECT_THAT(e.err, HasSubstr(text));
    EXPECT_THAT(e.err, HasSubstr("error: "));
  }
  // A run of a few steps on raw tokens.
  void train_run(const std::string& name) const {
    const Ended e = tokenwerk(Words{"train", "--out", path(name), "--data.train", raw_tokens(), "--model.vocab_size", "61"} + tiny(4));
    ASSERT_EQ(e.code, 0) << e.err;
  }
  void damage(const fs::path& file, size_t at) const {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(std::streamoff(at));
    const char byte = char(f.get() ^ 0x40);
    f.seekp(std::streamoff(at));
    f.put(byte);
  }
};

TEST_F(BadInput, Commands) {
  expect(tokenwerk({}), 64, "no command");
  expect(tokenwerk({"trian"}), 64, "did you mean train");
  expect(tokenwerk({"train", "--otu", "x"}), 64, "did you mean --out");
  expect(tokenwerk({"scan", path("nothing")}), 64, "--out");
  expect(tokenwerk({"inspect", path("nothing")}), 66, "does not exist");
}

TEST_F(BadInput, Settings) {
  write("typo.toml", "[training]\nstepps = 3\n");
  const Ended typo = tokenwerk({"train", path("typo.toml"), "--out", path("run")});
  expect(typo, 64, "training.steps");
  EXPECT_THAT(typo.err, HasSubstr("typo.toml:2:"));
  EXPECT_FALSE(fs::exists(path("run"))) << "said before anything is done";
  write("range.toml", "[optimizer]\nlr = \"fast\"\n");
  expect(tokenwerk({"train", path("range.toml"), "--out", path("run")}), 64, "optimizer.lr");
  expect(tokenwerk({"train", "--out", path("run"), "--model.hiden_size", "3"}), 64, "model.hidden_size");
  expect(tokenwerk({"train", "--out", path("run"), "--training.steps", "3"}), 64, "data.train");
  expect(tokenwerk({"train", path("missing.toml"), "--out", path("run")}), 66, "missing.toml");
  const std::string tokens = raw_tokens();
  expect(tokenwerk({"train", "--out", path("run"), "--data.train", tokens, "--model.vocab_size", "61"}), 64, "training.steps");
  expect(tokenwerk({"train", "--out", path("run"), "--data.train", tokens, "--training.steps", "3"}), 64, "model.vocab_size");
  expect(tokenwerk(Words{"train", "--out", path("run"), "--data.train", tokens, "--model.vocab_size", "61", "--model.head_dim", "7"} + tiny(3) +
                   Words{"--model.type", "llama"}),
         64, "head_dim");
}

TEST_F(BadInput, Folders) {
  expect(tokenwerk({"factory", path("nothing"), "--out", path("run")}), 66, "nothing");
  fs::create_directories(path("empty"));
  expect(tokenwerk({"factory", path("empty"), "--out", path("run2")}), 65, "empty");
  write("binary/a.txt", std::string("\1\2\3\xff\xfe") + std::string(1000, '\0'));
  write("binary/b.txt", "");
  write("binary/c.png", "\x89PNG");
  const Ended binary = tokenwerk({"factory", path("binary"), "--out", path("run3")});
  expect(binary, 65, "a.txt");
  EXPECT_EQ(json(fs::path(path("run3")) / "status.json")["exit_code"], 65);
  expect(tokenwerk({"factory", documents(), "--out", "/proc/run"}), 73, "/proc/run");
}

TEST_F(BadInput, BrokenDocumentsAreNamedAndTheRestIsUsed) {
  const std::string folder = documents();
  write("documents/broken.txt", std::string(500, '\0'));
  write("documents/empty.md", "");
  const Ended e = tokenwerk(Words{"factory", folder, "--out", path("run")} + tiny(3));
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(e.err, HasSubstr("broken.txt"));
  EXPECT_THAT(e.err, HasSubstr("empty.md"));
}

TEST_F(BadInput, OneShortFileStillTrainsOrSaysWhy) {
  write("one/a.txt", "A single short line.");
  const Ended e = tokenwerk(Words{"factory", path("one"), "--out", path("run")} + tiny(3));
  expect(e, 65, "sample");
}

TEST_F(BadInput, MoreRanksThanDocuments) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "The pump starts when valve " + std::to_string(i % 7) + " opens.\n";
  write("one/a.txt", text);
  const Ended e = ranks(4, Words{"factory", path("one"), "--out", path("run"), "--training.threads", "1"} + tiny(3));
  EXPECT_EQ(e.code, 0) << e.err;
}

TEST_F(BadInput, Tokens) {
  const std::string tokens = raw_tokens();
  expect(tokenwerk(Words{"train", "--out", path("run"), "--data.train", tokens, "--model.vocab_size", "50"} + tiny(30)), 65, "vocabulary");
  write("short.u16", "ab");
  expect(tokenwerk(Words{"train", "--out", path("run"), "--data.train", path("short.u16"), "--model.vocab_size", "61"} + tiny(3)), 65, "short.u16");
  write("odd.u16", "abc");
  expect(tokenwerk(Words{"train", "--out", path("run"), "--data.train", path("odd.u16"), "--model.vocab_size", "61"} + tiny(3)), 65, "odd.u16");
  write("no.h5", "this is no HDF5 file at all");
  expect(tokenwerk(Words{"train", "--out", path("run"), "--data.train", path("no.h5")} + tiny(3)), 65, "no.h5");

  ASSERT_EQ(tokenwerk({"scan", documents(), "--out", path("made")}).code, 0);
  ASSERT_EQ(tokenwerk({"tokenize", "--out", path("made"), "--tokenizer.vocab_size", "300"}).code, 0);
  const fs::path file = fs::path(path("made")) / "tokens/train.h5";
  damage(file, size_t(fs::file_size(file) / 2));
  expect(tokenwerk({"verify", file}), 65, "train.h5");
}

TEST_F(BadInput, Tokenizers) {
  ASSERT_EQ(tokenwerk({"scan", documents(), "--out", path("run")}).code, 0);
  write("broken.json", "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0");
  expect(tokenwerk({"tokenize", "--out", path("run"), "--tokenizer.path", path("broken.json")}), 65, "broken.json");
  write("deep.json", std::string(1000000, '['));
  expect(tokenwerk({"tokenize", "--out", path("run"), "--tokenizer.path", path("deep.json")}), 65, "deep.json");
  expect(tokenwerk({"tokenize", "--out", path("run"), "--tokenizer.path", path("absent.json")}), 66, "absent.json");
}

TEST_F(BadInput, Checkpoints) {
  train_run("run");
  fs::path shard;
  for (const auto& f : fs::recursive_directory_iterator(fs::path(path("run")) / "checkpoints"))
    if (f.path().filename().string().starts_with("shard")) shard = f.path();
  ASSERT_FALSE(shard.empty());
  damage(shard, size_t(fs::file_size(shard) / 2));
  expect(tokenwerk({"verify", fs::path(path("run")) / "checkpoints"}), 65, "damaged");
  expect(tokenwerk({"generate", path("run"), "--print-ids"}), 65, "shard");
  fs::resize_file(shard, fs::file_size(shard) / 2);
  expect(tokenwerk({"export", path("run"), "--out", path("hf")}), 65, "shard");
  expect(tokenwerk({"generate", path("nowhere"), "-p", "a"}), 66, "nowhere");
}

TEST_F(BadInput, AnotherModelInTheSameFolder) {
  train_run("run");
  expect(tokenwerk(Words{"train", "--out", path("run"), "--data.train", path("tokens.u16"), "--model.vocab_size", "61"} + tiny(9) +
                   Words{"--model.hidden_size", "64"}),
         64, "model.hidden_size");
}

TEST_F(BadInput, HuggingFaceFolders) {
  train_run("run");
  ASSERT_EQ(tokenwerk({"export", path("run"), "--out", path("hf")}).code, 0);
  const fs::path file = fs::path(path("hf")) / "model.safetensors";
  fs::resize_file(file, fs::file_size(file) - 5);
  expect(tokenwerk({"import", path("hf"), "--out", path("imported")}), 65, "model.safetensors");
  write("hf/config.json", "{\"model_type\": \"bert\"}");
  expect(tokenwerk({"import", path("hf"), "--out", path("imported")}), 65, "bert");
}

TEST_F(BadInput, DiskFull) {
  // Past the limit on file sizes, write() fails as on a full disk. The checkpoint on the way is lost, training goes on;
  // the last one must be written, so the run ends with 74 and the folder can be used again.
  const std::string tokens = raw_tokens();
  const Words words = Words{"train", "--out", path("run"), "--data.train", tokens, "--model.vocab_size", "61", "--checkpoint.interval", "2"} + tiny(6);
  const Ended full = tokenwerk(words, {.file_size_limit = 40000});
  EXPECT_EQ(full.code, 74) << full.err;
  EXPECT_THAT(full.err, HasSubstr("was not saved"));
  EXPECT_EQ(tokenwerk(words).code, 0);
}

// RLIMIT_AS: what is missing is said in bytes, and what was saved before stays whole.
TEST_F(BadInput, TooLittleMemory) {
  train_run("run");
  const auto limited = [&](const Words& words, const char* kibibytes = "900000") {
    return run_process(Words{"sh", "-c", std::string("ulimit -v ") + kibibytes + "; exec \"$@\"", "sh", TW_BINARY} + words);
  };
  const Ended large = limited(Words{"train", "--out", path("large"), "--data.train", raw_tokens(), "--model.vocab_size", "61"} + tiny(4) +
                              Words{"--model.hidden_size", "4096", "--model.num_attention_heads", "32", "--model.num_hidden_layers", "4"});
  EXPECT_EQ(large.code, 64) << large.err;
  EXPECT_THAT(large.err, AnyOf(HasSubstr("bytes could not be allocated"), HasSubstr("address space (ulimit -v)")));
  EXPECT_THAT(json(path("large") + "/status.json")["reason"].get<std::string>(), HasSubstr("memory"));
  EXPECT_TRUE(!fs::exists(path("large") + "/checkpoints") || fs::is_empty(path("large") + "/checkpoints"));
  EXPECT_EQ(limited({"verify", path("run")}).code, 0) << "what is small fits";
  // Whatever does not fit is said: a library that asks for its workspace for ever is not called.
  for (const char* kibibytes : {"310000", "330000", "400000", "500000"}) {
    const Ended e = limited(Words{"train", "--out", path(std::string("small") + kibibytes), "--data.train", raw_tokens(), "--model.vocab_size", "61"} + tiny(2), kibibytes);
    if (e.code != 0) { EXPECT_THAT(e.err, HasSubstr("memory")) << kibibytes; }
  }
}

}  // namespace
}  // namespace tw
