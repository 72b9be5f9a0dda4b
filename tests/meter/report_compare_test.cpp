// Several runs beside each other.
#include <gtest/gtest.h>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/meter/report.h"
#include "tests/meter/run_files.h"

namespace tw {
namespace {

// Runs in folders of one, each with the settings of `config` and a result of its own.
struct RunFolders {
  ScratchFolder root;
  std::vector<std::filesystem::path> folders;
  void add(const std::string& name, double bits, const std::string& lr, const std::string& text = "plain") {
    const ScratchFolder made;
    RunFiles files(text);
    files.json["eval.json"]["splits"][0]["bits_per_byte"] = bits;
    const auto folder = root.path() / name;
    files.config = "[run]\ndir = \"" + name + "\"  # command line\n[checkpoint]\ndir = \"" + name +
                   "/checkpoints\"  # derived\n[optimizer]\nlr = " + lr + "  # command line\nbeta1 = 0.9  # default\n";
    files.write(made, text);
    std::filesystem::create_directories(folder.parent_path());
    std::filesystem::copy(made.path(), folder, std::filesystem::copy_options::recursive);
    folders.push_back(folder);
  }
};

TEST(Comparison, JsonHoldsResultsAndWhatDiffers) {
  RunFolders runs;
  runs.add("first", 1.5, "0.001");
  runs.add("second", 1.25, "0.003");
  const Json json = Json::parse(comparison_json(runs.folders));
  ASSERT_EQ(json["runs"].size(), 2u);
  EXPECT_EQ(json["runs"][0]["name"], "first");
  EXPECT_EQ(json["runs"][0]["bits_per_byte"], 1.5);
  EXPECT_EQ(json["runs"][1]["bits_per_byte"], 1.25);
  EXPECT_EQ(json["runs"][1]["baselines"]["gzip -9"], 2.5);
  EXPECT_EQ(json["runs"][1]["joules"], 301);
  EXPECT_EQ(json["runs"][1]["steps"], 30);
  EXPECT_EQ(json["runs"][1]["energy"], "measured");
  // Not what a run's own folder makes different.
  EXPECT_EQ(json["differing_settings"], Json::parse(R"({"optimizer.lr": ["0.001", "0.003"]})"));
  EXPECT_EQ(Json::parse(comparison_json({runs.folders[0]}))["differing_settings"], Json::object());
}

TEST(Comparison, UnknownNumbersAreNull) {
  RunFolders runs;
  runs.add("whole", 1.5, "0.001");
  std::filesystem::create_directory(runs.root.path() / "empty");
  runs.folders.push_back(runs.root.path() / "empty");
  const Json json = Json::parse(comparison_json(runs.folders));
  EXPECT_TRUE(json["runs"][1]["bits_per_byte"].is_null());
  EXPECT_EQ(json["runs"][1]["notes"].size(), 9u);
  EXPECT_TRUE(json["differing_settings"]["optimizer.beta1"][1].is_null());
  EXPECT_TRUE(holds(comparison_html(runs.folders), "empty: eval.json is missing"));
}

TEST(Comparison, PageMarksTheBestAndDrawsAllRuns) {
  RunFolders runs;
  runs.add("first", 1.5, "0.001");
  runs.add("second", 1.25, "0.003");
  const std::string html = comparison_html(runs.folders);
  EXPECT_TRUE(holds(html, "<strong>1.250</strong><span class=\"aside\"> best</span>"));
  EXPECT_FALSE(holds(html, "<strong>1.500</strong>"));
  EXPECT_TRUE(holds(html, "0.<wbr>003"));
  EXPECT_FALSE(holds(html, "beta1"));
  EXPECT_FALSE(holds(html, "different held-out text"));
  EXPECT_EQ(count_of(html, "data-name=\"second\""), 6u) << "a line in each of the charts";
  EXPECT_EQ(count_of(html, "<figure"), 6u);
}

TEST(Comparison, DifferentHeldOutTextIsSaid) {
  RunFolders runs;
  runs.add("first", 1.5, "0.001");
  runs.add("second", 1.25, "0.003", "other text");
  EXPECT_TRUE(holds(comparison_html(runs.folders), "different held-out text"));
}

TEST(Comparison, EqualNamesAreToldApart) {
  RunFolders runs;
  runs.add("a/run", 1.5, "0.001");
  runs.add("b/run", 1.25, "0.003");
  const Json json = Json::parse(comparison_json(runs.folders));
  EXPECT_EQ(json["runs"][0]["name"], runs.folders[0].string());
  EXPECT_NE(json["runs"][0]["name"], json["runs"][1]["name"]);
}

TEST(Comparison, HostileTextStaysText) {
  const std::string hostile = "</script><script>alert(1)</script>\"><img src=x onerror=alert(1)>'onload='x'";
  RunFolders runs;
  runs.add("a\"><img src=x onerror=alert(1)>", 1.5, hostile, hostile);
  runs.add("second", 1.25, "0.003");
  const std::string html = comparison_html(runs.folders);
  EXPECT_EQ(count_of(html, "<script>"), 1u);
  EXPECT_FALSE(holds(html, "<img"));
  EXPECT_FALSE(holds(html, "'onload"));
}

TEST(Comparison, ManyRunsFitOnAPage) {
  RunFolders runs;
  runs.add("0", 1.5, "0.001");
  std::string metrics;
  for (int step = 1; step <= 20000; ++step)
    metrics += metrics_line(StepMetrics{.step = step,
                                        .loss = 3 + float(step % 97) * 0.01234f,
                                        .lr = float(step) * 1.234e-7f,
                                        .grad_norm = float(step % 31) * 0.1f,
                                        .tokens_per_second = 1e4 + step % 77,
                                        .joules_per_token = 1e-3 * (1 + step % 13)},
                            0) +
               "\n";
  write_file_atomically(runs.folders[0] / "metrics.jsonl", metrics);
  while (runs.folders.size() < kMostRuns) runs.folders.push_back(runs.folders[0]);
  EXPECT_LT(comparison_html(runs.folders).size(), 1000000u);
  runs.folders.push_back(runs.folders[0]);
  EXPECT_THROW(comparison_html(runs.folders), Error);
}

}  // namespace
}  // namespace tw
