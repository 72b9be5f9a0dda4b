#include "src/config/schema.h"

#include <gtest/gtest.h>

#include <set>

#include "src/core/file.h"
#include "tests/config/config_files.h"

namespace tw {
namespace {

TEST(Schema, EveryKeyIsSoundAndItsDefaultHolds) {
  std::set<std::string_view> names, sections;
  for (const auto& section : config_sections()) EXPECT_TRUE(sections.insert(section.name).second) << section.name;
  std::set<std::string_view> used;
  for (const auto& key : config_keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name << " stands twice";
    EXPECT_EQ(sections.count(key.section()), 1u) << key.name;
    EXPECT_LE(key.low, key.high) << key.name;
    EXPECT_TRUE(key.help.ends_with('.')) << key.name << ": " << key.help;
    EXPECT_EQ(key.type == KeyType::choice, !key.choices.empty()) << key.name;
    used.insert(key.section());
  }
  EXPECT_EQ(used, sections) << "a section without a key";
  EXPECT_LT(config_keys().size(), 125u);
  EXPECT_NO_THROW(Config().check());
}

TEST(Schema, DamerauLevenshtein) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("steps", "stpes"), 1);
  EXPECT_EQ(edit_distance("ca", "abc"), 3);  // restricted form; the full one would say 2
}

// Every way to get one letter wrong: lost, doubled, changed, added, swapped with the next.
std::set<std::string> mistyped(std::string_view name) {
  std::set<std::string> all;
  const size_t dot = name.find('.');
  for (size_t i = 0; i < name.size(); ++i) {
    if (i == dot) continue;
    std::string s(name);
    all.insert(std::string(s).erase(i, 1));
    all.insert(std::string(s).insert(i, 1, s[i]));
    for (const char c : {'a', 'x', '_', '7'}) {
      std::string changed = s;
      changed[i] = c;
      all.insert(changed);
      all.insert(std::string(s).insert(i, 1, c));
    }
    if (i + 1 < s.size() && i + 1 != dot) {
      std::swap(s[i], s[i + 1]);
      all.insert(s);
    }
  }
  for (const auto& key : config_keys()) all.erase(std::string(key.name));
  return all;
}

TEST(Schema, OneWrongLetterIsRejectedWithTheRightName) {
  int tried = 0, right = 0;
  for (const auto& key : config_keys()) {
    for (const auto& wrong : mistyped(key.name)) {
      const Ending end = load_ending({}, {"--" + wrong, "1"});
      ASSERT_EQ(end.code, ExitCode::config) << wrong;
      EXPECT_NE(end.message.find(wrong), std::string::npos) << end.message;
      ++tried;
      const bool found = end.message.find("did you mean " + std::string(key.name) + "?") != std::string::npos;
      right += found;
    }
  }
  std::printf("[          ] %d of %d one-letter mistakes are rejected: 100 %%; %d lead to the right name: %.2f %%\n", tried, tried, right, 100.0 * right / tried);
  EXPECT_GT(tried, 5000);
  EXPECT_GE(right, tried * 95 / 100);
}

TEST(Schema, NamesFromElsewhereLeadHome) {
  EXPECT_EQ(nearest_config_name("training.lr"), "optimizer.lr");
  EXPECT_EQ(nearest_config_name("warmup_steps"), "lr_scheduler.warmup_steps");
  EXPECT_EQ(nearest_config_name("optimiser"), "optimizer");
  EXPECT_EQ(nearest_config_name("qqqqqqqqqqqqq"), "");
  EXPECT_EQ(nearest_config_name(""), "");
  EXPECT_EQ(nearest_config_name(std::string(100000, 'a')), "");
}

TEST(Schema, DocumentationIsCurrent) {
  EXPECT_EQ(read_file(TW_SOURCE_DIR "/docs/configuration.md"), config_reference_markdown())
      << "make it anew: tw_config_reference > docs/configuration.md";
}

}  // namespace
}  // namespace tw
