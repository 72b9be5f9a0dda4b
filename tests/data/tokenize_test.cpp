#include "src/data/tokenize.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <random>

#include "src/codec/text/tokenizer.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/data/formats/format.h"
#include "src/data/token_file.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string prose(size_t bytes, uint32_t seed, const char* space = " ") {
  const char* words[] = {"der", "Rechner", "startet", "nicht", "Größe", "über", "2026", "it's", "network,", "server.", "\nDer", "(siehe)"};
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < bytes) text += words[random() % std::size(words)], text += space;
  return text;
}

class Tokenize : public testing::Test {
 protected:
  Tokenize() {
    for (int i = 0; i < 12; ++i) write("doc" + std::to_string(i) + ".txt", prose(3000, uint32_t(i)));
    write("page.html", "<nav>menu</nav><p>Gr&ouml;&szlig;e <b>über</b> alles</p>");
    write("LICENSE", "MIT License");
    inventory_ = scan(docs());
    options_.out = folder_ / "run";
    options_.vocab_size = 400;
  }
  fs::path docs() const { return folder_ / "docs"; }
  void write(const std::string& name, const std::string& text) { folder_.write("docs/" + name, text); }
  TokenizeResult run() const { return tokenize(inventory_, options_); }
  const ScannedFile& file_of(Split split) const {
    for (const ScannedFile& f : inventory_.files)
      if (f.state == FileState::used && f.split == split) return f;
    throw std::runtime_error(name_of(split));
  }
  std::string tokens_of(Split split) const { return read_file(options_.out / "tokens" / (std::string(name_of(split)) + ".h5")); }
  nlohmann::json record() const { return nlohmann::json::parse(read_file(options_.out / "tokens" / "tokens.json")); }

  ScratchFolder folder_;
  Inventory inventory_;
  TokenizeOptions options_;
};

TEST_F(Tokenize, EveryDocumentIsInItsSplitWithItsOrigin) {
  const TokenizeResult result = run();
  EXPECT_THAT(result.left_out, IsEmpty());
  EXPECT_FALSE(result.tokenizer_reused);
  const auto tokenizer = TextTokenizer::load(options_.out / "tokenizer.json");
  EXPECT_EQ(tokenizer->hash(), result.tokenizer_hash);
  EXPECT_EQ(tokenizer->vocab_size(), result.vocab_size);
  EXPECT_LE(result.vocab_size, 400);
  EXPECT_GT(result.vocab_size, 300);
  const int32_t eod = *tokenizer->special_id("<|endoftext|>");
  int64_t found = 0;
  for (const Split split : kSplits) {
    const SplitTokens& s = result.of(split);
    EXPECT_EQ(s.documents, inventory_.sum(split).files);
    EXPECT_EQ(s.bytes, inventory_.sum(split).text_bytes);
    EXPECT_FALSE(s.reused);
    const auto file = TokenFile::open(s.file, 0, true);
    EXPECT_EQ(file->tokenizer_hash(), result.tokenizer_hash);
    EXPECT_EQ(file->size(), s.tokens);
    EXPECT_EQ(file->source_bytes(), s.bytes);
    for (const Document& d : file->documents()) {
      std::vector<int32_t> ids;
      for (int64_t i = 0; i < d.tokens; ++i) ids.push_back((*file)[d.first_token + i]);
      ASSERT_EQ(ids.back(), eod);
      ids.pop_back();
      const std::string text = d.path == "page.html" ? "Größe über alles\n" : read_file(docs() / d.path);
      EXPECT_EQ(tokenizer->decode(ids), text) << d.path;
      EXPECT_EQ(ids, tokenizer->encode(text)) << d.path;
      EXPECT_EQ(d.bytes, int64_t(text.size()));
      EXPECT_EQ(d.licence, "LICENSE: MIT License");
      EXPECT_EQ(d.sha256.size(), 64u);
      ++found;
    }
  }
  EXPECT_EQ(found, 13);
  const auto json = record();
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["inventory"], inventory_.fingerprint());
  EXPECT_EQ(json["tokenizer_hash"], result.tokenizer_hash);
  EXPECT_EQ(json["splits"]["train"]["tokens"], result.of(Split::train).tokens);
  EXPECT_EQ(json["splits"]["train"]["file"], "train.h5");
}

TEST_F(Tokenize, ThreadsChangeNoBit) {
  write("long.txt", prose(5 << 20, 77));  // in parts
  write("line.txt", prose(5 << 20, 78) + std::string(100, '\n'));
  inventory_ = scan(docs(), {.shares = {1, 0, 0}});
  run();
  // HDF5 writes the time into its headers: so the content is compared.
  const auto content = [&] {
    const auto file = TokenFile::open(options_.out / "tokens/train.h5", 0, true);
    std::string all = file->checksum();
    for (const Document& d : file->documents()) all += fmt::format("\n{} {} {} {}", d.path, d.sha256, d.tokens, d.bytes);
    return all;
  };
  const std::string tokens = content(), tokenizer = read_file(options_.out / "tokenizer.json");
  options_.out = folder_ / "run2";
  options_.threads = 2;
  run();
  EXPECT_TRUE(read_file(options_.out / "tokenizer.json") == tokenizer);
  EXPECT_EQ(content(), tokens);
  const auto file = TokenFile::open(options_.out / "tokens/train.h5");
  const auto loaded = TextTokenizer::load(options_.out / "tokenizer.json");
  for (const Document& d : file->documents()) {
    if (d.path != "long.txt") continue;
    const auto whole = loaded->encode(read_file(docs() / d.path));
    ASSERT_EQ(d.tokens, int64_t(whole.size()) + 1);
    for (size_t i = 0; i < whole.size(); ++i) ASSERT_EQ((*file)[d.first_token + int64_t(i)], whole[i]) << i;
  }
}

TEST_F(Tokenize, WhatIsMaskedNeverBecomesATokenAndAnotherMaskMakesThemAnew) {
  for (int i = 0; i < 12; ++i) write("doc" + std::to_string(i) + ".txt", prose(2000, uint32_t(i)) + " secret.person@example.org " + prose(500, uint32_t(50 + i)));
  inventory_ = scan(docs());
  const auto text = [&] {
    const auto tokenizer = TextTokenizer::load(options_.out / "tokenizer.json");
    std::string all;
    for (const Split split : kSplits) {
      const auto file = TokenFile::open(options_.out / "tokens" / (std::string(name_of(split)) + ".h5"), 0, true);
      std::vector<int32_t> ids;
      for (int64_t i = 0; i < file->size(); ++i) ids.push_back((*file)[i]);
      all += tokenizer->decode(ids, true);
    }
    return all;
  };
  run();
  EXPECT_THAT(text(), HasSubstr("secret.person@example.org"));
  options_.mask = PersonalMask({"email"});
  const TokenizeResult masked = run();
  EXPECT_FALSE(masked.of(Split::train).reused);
  EXPECT_THAT(text(), testing::AllOf(HasSubstr("[EMAIL]"), Not(HasSubstr("secret.person"))));
  EXPECT_THAT(read_file(options_.out / "tokenizer.json"), Not(HasSubstr("secret")));
  EXPECT_TRUE(run().of(Split::train).reused);
  options_.mask = PersonalMask();
  EXPECT_FALSE(run().of(Split::train).reused);
}

TEST_F(Tokenize, WhatIsThereIsKept) {
  const TokenizeResult first = run();
  const auto sum = [&] { return TokenFile::open(options_.out / "tokens/train.h5", 0, true)->checksum(); };
  const std::string tokens = tokens_of(Split::train), tokens_sum = sum(), written = read_file(options_.out / "tokens/tokens.json");
  const auto reused = [&] {
    const TokenizeResult r = run();
    EXPECT_EQ(r.tokenizer_hash, first.tokenizer_hash);
    EXPECT_EQ(r.of(Split::train).tokens, first.of(Split::train).tokens);
    EXPECT_EQ(sum(), tokens_sum);
    std::string kept = r.tokenizer_reused ? "t" : "-";
    for (const Split split : kSplits) kept += r.of(split).reused ? name_of(split)[0] : '-';
    return kept;
  };
  EXPECT_EQ(reused(), "ttvt");
  fs::remove(options_.out / "tokens/val.h5");
  EXPECT_EQ(reused(), "tt-t");
  EXPECT_EQ(reused(), "ttvt");
  folder_.write("run/tokens/train.h5", tokens.substr(0, tokens.size() / 2));
  EXPECT_EQ(reused(), "t-vt");
  nlohmann::json other = record();
  EXPECT_EQ(other["splits"]["train"]["checksum"], tokens_sum);
  other["splits"]["train"]["checksum"] = "0";  // the file is another one
  folder_.write("run/tokens/tokens.json", other.dump());
  EXPECT_EQ(reused(), "t-vt");
  fs::remove(options_.out / "tokenizer.json");
  EXPECT_EQ(reused(), "-tvt");  // trained again, to the same one
  for (const std::string& bad : {std::string("{"), std::string(), written.substr(0, 100), std::string(1000, '['), std::string("[]")}) {
    folder_.write("run/tokens/tokens.json", bad);
    EXPECT_EQ(reused(), "----") << bad;
  }
  inventory_.files[0].mtime_ns += 5;
  EXPECT_EQ(reused(), "ttvt");
}

TEST_F(Tokenize, OtherFilesOrOptionsAreOtherTokens) {
  run();
  const auto anew = [&] {
    const TokenizeResult r = run();
    return !r.tokenizer_reused && !r.of(Split::train).reused && !r.of(Split::val).reused;
  };
  options_.vocab_size = 300;
  EXPECT_TRUE(anew());
  options_.append_eod = false;
  EXPECT_TRUE(anew());
  options_.eos_token = "<|fin|>";
  EXPECT_TRUE(anew());
  write("new.txt", prose(500, 1000));
  inventory_ = scan(docs());
  EXPECT_TRUE(anew());
}

TEST_F(Tokenize, FilesThatChangedSinceTheScanAreLeftOutUntilTheyAreBack) {
  const ScannedFile changed = file_of(Split::train), gone = file_of(Split::val);
  const std::string before = read_file(docs() / changed.path);
  write(changed.path, before.substr(1) + "x");  // of the same size
  fs::rename(docs() / gone.path, folder_ / "away");
  const TokenizeResult result = run();
  EXPECT_THAT(result.left_out, ElementsAre(HasSubstr(changed.path + ": changed"), HasSubstr(gone.path)));
  EXPECT_EQ(result.of(Split::train).documents, inventory_.sum(Split::train).files - 1);
  const auto file = TokenFile::open(result.of(Split::train).file);
  for (const Document& d : file->documents()) EXPECT_NE(d.path, changed.path);
  EXPECT_EQ(result.of(Split::val).documents, inventory_.sum(Split::val).files - 1);
  EXPECT_EQ(record()["left_out"].size(), 2u);
  write(changed.path, before);
  fs::rename(folder_ / "away", docs() / gone.path);
  const TokenizeResult again = run();
  EXPECT_THAT(again.left_out, IsEmpty());
  EXPECT_EQ(again.of(Split::train).documents, inventory_.sum(Split::train).files);
  EXPECT_EQ(again.of(Split::val).documents, inventory_.sum(Split::val).files);
}

TEST_F(Tokenize, ALongFileThatChangedIsLeftOutToo) {
  write("long.txt", prose(5 << 20, 77));
  inventory_ = scan(docs(), {.shares = {1, 0, 0}});
  write("long.txt", prose(5 << 20, 76));
  EXPECT_THAT(run().left_out, ElementsAre(HasSubstr("long.txt")));
  write("long.txt", "short now");
  EXPECT_THAT(run().left_out, ElementsAre(HasSubstr("long.txt")));
}

TEST_F(Tokenize, ASplitWithoutFilesHasNoTokenFile) {
  run();
  EXPECT_TRUE(fs::exists(options_.out / "tokens/test.h5"));
  inventory_ = scan(docs(), {.shares = {0.7, 0.3, 0}});
  const TokenizeResult result = run();
  EXPECT_EQ(result.of(Split::test).documents, 0);
  EXPECT_TRUE(result.of(Split::test).file.empty());
  EXPECT_FALSE(fs::exists(options_.out / "tokens/test.h5")) << "of the earlier scan";
  EXPECT_FALSE(record()["splits"].contains("test"));
  EXPECT_TRUE(run().of(Split::train).reused);
  for (ScannedFile& f : inventory_.files) f.split = Split::val;
  EXPECT_THROW(run(), Error) << "nothing to train on";
}

TEST_F(Tokenize, StoppedBeforeTheFirstSplitTheTokenizerIsKept) {
  options_.progress = [](const TokenizeProgress& p) {
    if (std::string_view(p.phase) == "tokenize train") throw Error(ExitCode::requeue, "stop");
  };
  EXPECT_THROW(run(), Error);
  options_.progress = nullptr;
  const TokenizeResult on = run();
  EXPECT_TRUE(on.tokenizer_reused);
  EXPECT_FALSE(on.of(Split::train).reused);
}

TEST_F(Tokenize, TextsOfSpecialTokensAreOrdinaryText) {
  write("a.txt", "before <|endoftext|> after");
  inventory_ = scan(docs(), {.shares = {1, 0, 0}});
  const TokenizeResult result = run();
  const auto file = TokenFile::open(result.of(Split::train).file);
  const int32_t eod = *TextTokenizer::load(result.tokenizer)->special_id("<|endoftext|>");
  int64_t ends = 0;
  for (int64_t i = 0; i < file->size(); ++i) ends += (*file)[i] == eod;
  EXPECT_EQ(ends, result.of(Split::train).documents);
}

TEST_F(Tokenize, AGivenTokenizerIsTakenAndMustHaveTheToken) {
  run();
  fs::copy(options_.out / "tokenizer.json", folder_ / "given.json");
  const std::string hash = TextTokenizer::load(folder_ / "given.json")->hash();
  options_.out = folder_ / "other";
  options_.tokenizer = folder_ / "given.json";
  EXPECT_EQ(run().tokenizer_hash, hash);
  EXPECT_TRUE(fs::exists(options_.out / "tokenizer.json"));
  EXPECT_TRUE(run().of(Split::train).reused);
  options_.eos_token = "</s>";
  try {
    run();
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::config);
    EXPECT_THAT(e.what(), HasSubstr("</s>"));
    EXPECT_THAT(e.what(), HasSubstr("<|endoftext|>")) << "the one it has";
  }
  options_.append_eod = false;
  EXPECT_EQ(run().tokenizer_hash, hash);
}

TEST_F(Tokenize, StoppedInTheMiddleItGoesOnFromThereAndLeavesNothingHalfWritten) {
  options_.progress = [](const TokenizeProgress& p) {
    if (std::string_view(p.phase) == "tokenize val") throw Error(ExitCode::requeue, "stop");
  };
  EXPECT_THROW(run(), Error);
  EXPECT_FALSE(fs::exists(options_.out / "tokens/val.h5"));
  EXPECT_TRUE(record()["splits"].contains("train"));
  EXPECT_FALSE(record()["splits"].contains("val"));
  for (const auto& entry : fs::recursive_directory_iterator(options_.out))
    EXPECT_EQ(entry.path().string().find(".tmp"), std::string::npos) << entry.path();
  options_.progress = nullptr;
  const TokenizeResult on = run();
  EXPECT_TRUE(on.tokenizer_reused && on.of(Split::train).reused);
  EXPECT_FALSE(on.of(Split::val).reused);
  EXPECT_EQ(on.of(Split::val).documents, inventory_.sum(Split::val).files);
}

// Lines of JSON are documents: short ones of a short file, and of one that is encoded in parts (above 4 MiB), with a
// document in it that is longer than a part.
TEST_F(Tokenize, SeveralDocumentsOfAFileAreDividedByTheEndOfDocument) {
  if (!find_format("a.jsonl")) GTEST_SKIP() << "no format here has several documents in a file";
  std::vector<std::string> small, large;
  for (uint32_t i = 0; i < 20; ++i) small.push_back(prose(100 + 40 * i, 100 + i));
  for (uint32_t i = 0; i < 3000; ++i) large.push_back(prose(i == 1500 ? size_t(3) << 20 : 300 + i % 700, 200 + i));
  const auto lines = [](const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) all += nlohmann::json{{"text", text}}.dump() + "\n";
    return all;
  };
  write("small.jsonl", lines(small));
  write("large.jsonl", lines(large));
  ASSERT_GT(fs::file_size(docs() / "large.jsonl"), uintmax_t(4) << 20);
  inventory_ = scan(docs(), {.shares = {1, 0, 0}});
  std::vector<std::string> bytes;
  for (const int threads : {1, 3}) {
    fs::remove_all(options_.out);
    options_.threads = threads;
    run();
    bytes.push_back(tokens_of(Split::train));
  }
  EXPECT_EQ(bytes[0], bytes[1]);
  const auto tokenizer = TextTokenizer::load(options_.out / "tokenizer.json");
  const auto file = TokenFile::open(options_.out / "tokens" / "train.h5", 0, true);
  const int32_t eod = *tokenizer->special_id(options_.eos_token);
  EXPECT_EQ(file->eod(), eod);
  for (const auto& [name, texts] : {std::pair("small.jsonl", &small), std::pair("large.jsonl", &large)}) {
    std::vector<int32_t> want, got;
    int64_t text_bytes = 0;
    for (const std::string& text : *texts) {
      tokenizer->encode(text, {}, want);
      want.push_back(eod);
      text_bytes += int64_t(text.size());
    }
    for (const Document& d : file->documents())
      if (d.path == name) {
        for (int64_t t = 0; t < d.tokens; ++t) got.push_back((*file)[d.first_token + t]);
        EXPECT_EQ(d.bytes, text_bytes) << name;
      }
    ASSERT_EQ(got.size(), want.size()) << name;
    EXPECT_TRUE(got == want) << name;
  }
}

}  // namespace
}  // namespace tw
