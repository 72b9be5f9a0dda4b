// Experts' answers: from lines of JSON to a model that answers.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "tests/cli/cli_fixture.h"

namespace tw {
namespace {
using testing::HasSubstr;
using testing::Not;

class Conversation : public Cli {
 protected:
  static std::string answer(int i) {
    const char* answers[] = {"Open the valve.", "Change the belt.", "Call the works."};
    return answers[i % 3];
  }
  static std::string question(int i) {
    const char* parts[] = {"pump", "motor", "fan", "press"};
    const char* faults[] = {"leaks", "squeals", "is silent"};
    return std::string("The ") + parts[i / 3 % 4] + " " + std::to_string(i) + " " + faults[i % 3];
  }
  void write_answers() const {
    std::string all;
    for (int i = 0; i < 60; ++i)
      all += nlohmann::json{{"messages", {{{"role", "user"}, {"content", question(i)}}, {{"role", "assistant"}, {"content", answer(i)}}}}}.dump() + "\n";
    for (int f = 0; f < 4; ++f) write("answers/" + std::to_string(f) + ".jsonl", all + nlohmann::json{{"question", "Who are you " + std::to_string(f)}, {"answer", "A helper."}}.dump() + "\n");
  }
};

TEST_F(Conversation, ExpertsAnswersBecomeAModelThatAnswers) {
  write_answers();
  const Ended e = tokenwerk(Words{"factory", path("answers"), "--out", path("run"), "--data.near_duplicates", "0"} + tiny(250) + Words{"--training.seq_len", "128"});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(read_file(path("run/config.toml")), HasSubstr("reset_attention_mask = true"));
  const auto samples = json(path("run/samples.json"))["samples"];
  ASSERT_FALSE(samples.empty());
  EXPECT_THAT(samples[0]["prompt"].get<std::string>(), HasSubstr("<|im_start|>assistant\n")) << "held-out questions are prompts";
  for (const auto& split : json(path("run/eval.json"))["splits"]) EXPECT_TRUE(split["bits_per_byte"].is_null()) << "questions are not predicted";
  int right = 0;
  for (int i = 0; i < 9; ++i) {
    const Ended said = tokenwerk({"generate", path("run"), "--chat", "--prompt", question(i), "--greedy", "-n", "20"});
    ASSERT_EQ(said.code, 0) << said.err;
    right += said.out == answer(i) + "\n";
  }
  EXPECT_GE(right, 8);
  const Ended told = tokenwerk({"generate", path("run"), "--chat", "--system", "Be kind.", "--prompt", "x", "-n", "4", "--json"});
  EXPECT_EQ(told.code, 0) << told.err;
  // The exported model tells other programs how it is talked to.
  ASSERT_EQ(tokenwerk({"export", path("run"), "--out", path("hf")}).code, 0);
  EXPECT_THAT(json(path("hf/tokenizer_config.json"))["chat_template"].get<std::string>(), HasSubstr("<|im_start|>"));
}

TEST_F(Conversation, AModelOfTextLearnsToAnswer) {
  ASSERT_EQ(tokenwerk(Words{"factory", documents(), "--out", path("text")} + tiny(20)).code, 0);
  write_answers();
  const Ended e = tokenwerk(Words{"factory", path("answers"), "--out", path("run"), "--tokenizer.path", path("text/tokenizer.json"), "--checkpoint.init_from", path("text"), "--data.near_duplicates", "0",
                                  "--training.steps", "3", "--training.micro_batch_size", "2", "--parallelism.virtual_ranks", "4"});
  ASSERT_EQ(e.code, 0) << e.err;
  EXPECT_THAT(e.err, HasSubstr("tokens: the new ones begin as the mean of the others"));
  const Ended said = tokenwerk({"generate", path("run"), "--chat", "--prompt", "hello", "-n", "8"});
  EXPECT_EQ(said.code, 0) << said.err;
}

TEST_F(Conversation, AModelThatNeverSawOneSaysSo) {
  const Ended e = tokenwerk(Words{"factory", documents(), "--out", path("run")} + tiny(2));
  ASSERT_EQ(e.code, 0) << e.err;
  const Ended chat = tokenwerk({"generate", path("run"), "--chat", "--prompt", "x"});
  EXPECT_EQ(chat.code, 64);
  EXPECT_THAT(chat.err, HasSubstr("was not trained on conversations"));
  EXPECT_EQ(tokenwerk({"generate", path("run"), "--chat"}).code, 64) << "nothing is asked";
  EXPECT_EQ(tokenwerk({"generate", path("run"), "--system", "x", "--prompt", "y"}).code, 64);
}

}  // namespace
}  // namespace tw
