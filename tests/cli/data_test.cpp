// What is trained on, from settings to weights and back: blends, packed documents, and where tokens come from.
#include <cmath>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
namespace fs = std::filesystem;
using testing::HasSubstr;

class Blended : public Cli {
 protected:
  Blended() {
    raw_tokens();
    fs::copy_file(path("tokens.u16"), path("wiki.u16"));
    const std::string tokens = read_file(path("tokens.u16"));
    write("code.u16", tokens.substr(4000, 2000) + tokens.substr(0, 1000));
  }
  Words train(const std::string& run, int steps) const {
    const std::string files = "[\"" + path("wiki.u16") + "\", \"" + path("code.u16") + "\"]";
    return Words{"train",   "--out",
                 path(run), "--data.train",
                 files,     "--model.vocab_size",
                 "61",      "--training.threads",
                 "1",       "--lr_scheduler.type",
                 "constant"} +
           tiny(steps);
  }
};

TEST_F(Blended, StagesGiveTheSameWeightsOnAnyRanksAndWhereTheRunGoesOn) {
  const Words blend = {"--data.blend", R"(["0.7 0.3", "4: 0.2 0.8", "75%: 1 0"])"};
  const Ended one = tokenwerk(train("one", 12) + blend);
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_THAT(one.err, HasSubstr("from step 1: wiki.u16 0.7, code.u16 0.3"));
  EXPECT_THAT(one.err, HasSubstr("from step 5: wiki.u16 0.2, code.u16 0.8"));
  EXPECT_THAT(one.err, HasSubstr("from step 10: wiki.u16 1, code.u16 0"));
  // 12 steps of 8 samples: 0.7 of 32, 0.2 of 40 and all of 24 are 54.4; code.u16 has 46 samples.
  const auto told = json(fs::path(path("one")) / "train.json")["blend"];
  const int64_t wiki = told[0]["samples"], code = told[1]["samples"];
  EXPECT_NEAR(double(wiki), 54.4, 2) << "each stage to within a sample";
  EXPECT_EQ(wiki + code, 96);
  EXPECT_NEAR(told[1]["epochs"].get<double>(), double(code) / 46, 1e-12);
  EXPECT_NEAR(told[0]["weight"].get<double>(), double(wiki) / 96, 1e-12);

  const Ended seen = tokenwerk({"inspect", path("one"), "--provenance", "wiki.u16", "--json"});
  ASSERT_EQ(seen.code, 0) << seen.err;
  EXPECT_EQ(nlohmann::json::parse(seen.out)["documents"][0]["runs"][0]["samples"], wiki);

  const std::string want = weights(path("one"));
  for (const int n : {2, 4}) {
    const std::string run = "ranks" + std::to_string(n);
    const Ended e = ranks(n, train(run, 12) + blend);
    ASSERT_EQ(e.code, 0) << e.err;
    EXPECT_EQ(weights(path(run)), want) << n << " ranks";
  }
  const Words saving = {"--checkpoint.interval", "3", "--checkpoint.async", "false"};  // goes on behind step 6, within the second stage
  ASSERT_EQ(
      ranks(4, train("stopped", 12) + blend + saving, {.environment = {{"TW_FAULT", "train.forward:2:7:error"}}}).code,
      74);
  const Ended on = ranks(2, train("stopped", 12) + blend + saving);
  ASSERT_EQ(on.code, 0) << on.err;
  EXPECT_THAT(on.err, HasSubstr("going on from"));
  EXPECT_EQ(weights(path("stopped")), want);

  const Ended plain = tokenwerk(train("plain", 12));
  ASSERT_EQ(plain.code, 0) << plain.err;
  EXPECT_NE(weights(path("plain")), want);
  const Ended other = tokenwerk(train("stopped", 14) + Words{"--data.blend", "1 1"});
  EXPECT_EQ(other.code, 65) << "another blend is another order of samples";
  EXPECT_THAT(other.err, HasSubstr("blend"));
}

TEST_F(Blended, EpochsAreOfAllFilesTogether) {
  Words words = train("run", 1) + Words{"--training.steps", "0", "--training.epochs", "2", "--data.blend", "1 3"};
  const Ended e = tokenwerk(words);
  ASSERT_EQ(e.code, 0) << e.err;
  // 187 + 46 samples twice are 58 steps of 8: a quarter of 464 samples from wiki.u16, the rest from code.u16.
  const auto record = json(fs::path(path("run")) / "train.json");
  EXPECT_EQ(record["steps"], 58);
  EXPECT_EQ(record["blend"][0]["samples"], 116);
  EXPECT_EQ(record["blend"][1]["samples"], 348);
}

TEST_F(Blended, WrongOnesAreRefusedByName) {
  const auto refused = [&](const Words& settings, const char* text) {
    const Ended e = tokenwerk(train("refused", 2) + settings);
    EXPECT_EQ(e.code, 64) << e.err;
    EXPECT_THAT(e.err, HasSubstr(text));
  };
  refused({"--data.blend", "0.7"}, "1 weights for the 2 files");
  refused({"--data.blend", "0.7 x"}, "\"0.7 x\"");
  refused({"--data.blend", "0 0"}, "add up to 0");
  refused({"--data.blend", "50%: 1 1"}, "begin with the run");
  const Ended late = tokenwerk(train("late", 2) + Words{"--data.blend", R"(["1 1", "1000: 1 2"])"});
  EXPECT_EQ(late.code, 0) << late.err;
  EXPECT_THAT(late.err, HasSubstr("behind the end of this run"));
  refused({"--data.reset_attention_mask", "true"}, "wiki.u16 does not say which token ends a document");
  refused({"--data.eod_mask_loss", "true"}, "data.eod_id");
  refused({"--data.reset_position_ids", "true", "--data.eod_id", "7", "--model.type", "llama"}, "rotary");
}

TEST_F(Blended, PackedDocumentsNeedOnlyTheirLastToken) {
  const Words packed = {
      "--data.eod_id", "7", "--data.reset_attention_mask", "true", "--data.reset_position_ids", "true", "--data.val",
      path("code.u16")};
  const Ended e = tokenwerk(train("packed", 6) + packed);
  ASSERT_EQ(e.code, 0) << e.err;
  const Ended again = ranks(2, train("again", 6) + packed);
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(weights(path("packed")), weights(path("again")));
  const Ended plain = tokenwerk(train("plain", 6) + Words{"--data.val", path("code.u16")});
  ASSERT_EQ(plain.code, 0) << plain.err;
  EXPECT_NE(weights(path("plain")), weights(path("packed")));
  // The command that evaluates sees documents as training did.
  const auto evaluated = [&](const char* run, const Words& more) {
    const Ended eval = tokenwerk(Words{"eval", path(run), "--data", path("code.u16"), "--json"} + more);
    EXPECT_EQ(eval.code, 0) << eval.err;
    return nlohmann::json::parse(eval.out)["splits"][0]["loss"].get<double>();
  };
  EXPECT_GT(std::fabs(evaluated("packed", {}) - evaluated("packed", {"--data.reset_attention_mask", "false",
                                                                     "--data.reset_position_ids", "false"})),
            1e-5);
}

class Provenance : public Cli {
 protected:
  Provenance() {
    const std::string folder = documents();
    write("documents/LICENSE", "MIT License\n\nfree");
    fs::copy_file(folder + "/3.txt", folder + "/copy.txt");
    const Ended e =
        tokenwerk(Words{"factory", folder, "--out", path("run"), "--data.reset_attention_mask", "true"} + tiny(40));
    EXPECT_EQ(e.code, 0) << e.err;
  }
  nlohmann::json inspect(const Words& words) const {
    const Ended e = tokenwerk(Words{"inspect"} + words + Words{"--json"});
    EXPECT_EQ(e.code, 0) << e.err;
    return nlohmann::json::parse(e.out, nullptr, false);
  }
};

TEST_F(Provenance, AFileLeadsToItsTokensAndTheStepsThatSawThem) {
  // All files of the train split together were seen in 40 steps of 8 samples of 32 + 1 tokens.
  double seen = 0;
  int64_t tokens = 0, files = 0;
  std::string sha;
  const auto inventory = json(fs::path(path("run")) / "inventory.json");
  for (const auto& f : inventory["files"]) {
    const auto answer = inspect({path("run"), "--provenance", f["path"]});
    if (f["state"] != "used") continue;
    if (f["path"] == "3.txt") sha = f["sha256"];
    ASSERT_EQ(answer["found"], 1) << answer.dump(1);
    const auto& d = answer["documents"][0];
    EXPECT_EQ(d["path"], f["path"]);
    EXPECT_EQ(d["split"], f["split"]);
    EXPECT_EQ(d["licence"], "LICENSE: MIT License");
    if (f["split"] != "train") {
      EXPECT_TRUE(d["runs"].empty()) << "never trained on";
      continue;
    }
    ++files;
    EXPECT_EQ(d["first_token"], tokens);
    tokens += d["tokens"].get<int64_t>();
    seen += d["runs"][0]["times_seen"].get<double>() * d["tokens"].get<double>();
    EXPECT_EQ(d["runs"][0]["steps_done"], 40);
    EXPECT_LE(d["runs"][0]["last_step"], 40);
    EXPECT_GE(d["runs"][0]["first_step"], 1);
  }
  EXPECT_GT(files, 5);
  EXPECT_NEAR(seen, 40 * 8 * 33, 1e-6);

  // By content, by a path on this machine, and where the file was left out as a duplicate.
  for (const std::string& source : {sha, path("documents/copy.txt"), std::string("copy.txt")}) {
    const auto answer = inspect({"--provenance", source, "--data", path("run/tokens/train.h5"), "--data", path("run")});
    EXPECT_EQ(answer["sha256"], sha) << source;
    ASSERT_GE(answer["found"], 1) << source << answer.dump(1);
    EXPECT_EQ(answer["documents"][0]["path"], "3.txt");
  }
  const Ended none = tokenwerk({"inspect", path("run"), "--provenance", "other.txt"});
  EXPECT_EQ(none.code, 0) << none.err;
  EXPECT_THAT(none.out, HasSubstr("no token comes from it"));
  EXPECT_EQ(tokenwerk({"inspect", path("missing"), "--provenance", "a"}).code, 66);
  EXPECT_EQ(tokenwerk({"inspect", "--provenance", "a"}).code, 64);
}

TEST_F(Provenance, ATokenLeadsToItsPlaceInAFile) {
  const fs::path file = fs::path(path("run")) / "tokens" / "train.h5";
  const int64_t count = inspect({file.string()})["tokens"];
  int checked = 0;
  for (int64_t token = 0; token < count; token += 97) {
    const auto answer = inspect({path("run"), "--token", std::to_string(token)});
    const std::string name = answer["document"]["path"], text = answer["text"]["token"];
    EXPECT_EQ(answer["document"]["licence"], "LICENSE: MIT License");
    EXPECT_EQ(answer["document"]["first_token"].get<int64_t>() + answer["document_token"].get<int64_t>(), token);
    EXPECT_EQ(answer["runs"][0]["samples"], answer["runs"][0]["times_seen"]) << "a token is in a sample once";
    if (!name.ends_with(".txt") || text.find('\xEF') != text.npos || text == "<|endoftext|>") continue;
    const std::string source = read_file(path("documents/" + name));
    EXPECT_EQ(source.substr(answer["byte"], text.size()), text) << name << " token " << token;
    ++checked;
  }
  EXPECT_GT(checked, 5);
  const auto held_out = inspect({path("run"), "--token", "3", "--split", "val"});
  EXPECT_EQ(held_out["document"]["split"], "val");
  EXPECT_TRUE(held_out["runs"].empty());
  const auto alone = inspect({file.string(), "--token", "3"});
  EXPECT_EQ(alone["text"], inspect({path("run"), "--token", "3"})["text"]);
  EXPECT_EQ(tokenwerk({"inspect", path("run"), "--token", std::to_string(count)}).code, 64);
  EXPECT_EQ(tokenwerk({"inspect", path("run"), "--token", "3", "--split", "x"}).code, 66);
}

}  // namespace
}  // namespace tw
