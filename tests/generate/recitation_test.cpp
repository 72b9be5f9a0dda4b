#include "src/generate/recitation.h"

#include <gtest/gtest.h>

#include "tests/nn/small_model.h"
#include "tests/support/process.h"

namespace tw {
namespace {

// The test's verdict is that of generation itself.
TEST(Recitation, FindsWhatTheModelWouldSay) {
  const ModelConfig model = small_config(Architecture::llama, true);
  const ParameterTable table(model);
  const Tensor weights = random_weights(model, table, 2);
  ThreadTeam team(2);
  Generator generator(model, table, weights.view(), Stream(team));
  const auto passage = [&](int32_t seed) {
    std::vector<int32_t> ids = {seed, int32_t(seed + 1), 7, seed};
    const auto said = generator.run(ids, {.sampling = {.temperature = 0}, .max_new_tokens = 6}, 0, {}).ids;
    ids.insert(ids.end(), said.begin(), said.end());
    return ids;
  };
  const TemporaryFolder folder;
  const std::string sum(64, '0');
  TokenFileWriter writer(folder.path() / "t.h5", model.vocab_size, "");
  std::vector<int32_t> twice = passage(3), wrong = passage(9);
  const std::vector<int32_t> second = passage(11);
  twice.insert(twice.end(), second.begin(), second.end());
  wrong[4 + 3] = (wrong[4 + 3] + 1) % int32_t(model.vocab_size);  // three of six are right
  writer.add({.path = "short", .sha256 = sum}, std::vector<int32_t>(9, 1));      // no passage fits
  writer.add({.path = "twice", .sha256 = sum}, twice);
  writer.add({.path = "wrong", .sha256 = sum}, wrong);
  writer.finish();
  const auto file = TokenFile::open(folder.path() / "t.h5");
  const RecitationOptions options{.passages = 64, .prompt_tokens = 4, .continuation_tokens = 6};
  const Recitation r = test_recitation(generator, *file, options);
  EXPECT_EQ(r.tested, 3);
  ASSERT_EQ(r.recited, 2);
  EXPECT_NEAR(r.mean_match, (1 + 1 + 0.5) / 3, 1e-12);
  EXPECT_EQ(r.passages[0].document, 1);
  EXPECT_EQ(r.passages[1].first_token, 9 + 10);
  EXPECT_EQ(test_recitation(generator, *file, {.passages = 1, .prompt_tokens = 4, .continuation_tokens = 6}).tested, 1);
  EXPECT_EQ(test_recitation(generator, *file, {.passages = 5, .prompt_tokens = 20, .continuation_tokens = 11}).tested, 0);
}

}  // namespace
}  // namespace tw
