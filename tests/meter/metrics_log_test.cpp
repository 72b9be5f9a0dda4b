#include "src/meter/metrics_log.h"

#include <bit>
#include <cmath>
#include <csignal>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>

#include "src/core/error.h"
#include "src/core/file.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
constexpr MetricsOptions kNoEvents{.jsonl = true, .tensorboard = false};

std::vector<int64_t> steps_in(const ScratchFolder& folder) {
  const std::string text = read_file(folder / "metrics.jsonl");
  std::vector<int64_t> steps;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    if (end == text.npos) {
      ADD_FAILURE() << "the last line is torn: " << text.substr(at);
      break;
    }
    steps.push_back(Json::parse(text.substr(at, end - at)).at("step"));
    at = end + 1;
  }
  return steps;
}

void log_steps(MetricsLog& log, int64_t from, int64_t to) {
  for (int64_t step = from; step <= to; ++step) log.log(StepMetrics{.step = step});
}

TEST(MetricsLog, FloatsReadBackExactly) {
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    StepMetrics m;
    m.loss = std::bit_cast<float>(uint32_t(random()));
    m.lr = std::bit_cast<float>(uint32_t(random()));
    m.grad_norm = i % 3 ? float(random()) * 1e-9f : std::numeric_limits<float>::denorm_min() * float(i);
    if (!std::isfinite(m.loss) || !std::isfinite(m.lr)) continue;
    const Json json = Json::parse(metrics_line(m, 1.5));
    // As text to float, the way any reader goes: through double.
    EXPECT_EQ(std::bit_cast<uint32_t>(float(json.at("loss").get<double>())), std::bit_cast<uint32_t>(m.loss));
    EXPECT_EQ(float(json.at("lr").get<double>()), m.lr);
    EXPECT_EQ(float(json.at("grad_norm").get<double>()), m.grad_norm);
  }
}

TEST(MetricsLog, WhatIsNoNumberIsNullWithItsName) {
  StepMetrics m{.step = 3};
  m.loss = std::numeric_limits<float>::quiet_NaN();
  m.grad_norm = -std::numeric_limits<float>::infinity();
  const Json json = Json::parse(metrics_line(m, 0));
  EXPECT_TRUE(json.at("loss").is_null());
  EXPECT_EQ(json.at("loss_text"), "nan");
  EXPECT_EQ(json.at("grad_norm_text"), "-inf");
  EXPECT_TRUE(json.at("joules").is_null());
  EXPECT_TRUE(json.at("joules_per_token").is_null());
  EXPECT_FALSE(json.contains("mfu")) << "the peak is not known";
  const Json eval = Json::parse(metrics_line(EvalMetrics{.step = 3, .loss = 2.5f, .perplexity = std::exp(2.5)}, 0));
  EXPECT_EQ(eval.at("eval_loss"), 2.5);
  EXPECT_NEAR(eval.at("eval_perplexity"), std::exp(2.5), 1e-7);
  EXPECT_TRUE(eval.at("eval_bits_per_byte").is_null());
}

TEST(MetricsLog, HoldsEveryKeyOfAStep) {
  ScratchFolder folder;
  {
    MetricsLog log(folder.path(), kNoEvents, 0);
    log.log(StepMetrics{.step = 1,
                        .loss = 3,
                        .lr = 1e-3f,
                        .grad_norm = 0.5f,
                        .tokens = 4096,
                        .samples = 16,
                        .tokens_per_second = 1234.5,
                        .model_flops_per_second = 1e10,
                        .mfu = 0.25,
                        .memory_bytes = peak_resident_bytes(),
                        .joules = 12.5,
                        .joules_per_token = 0.003,
                        .power_w = 40,
                        .skipped = 1,
                        .seconds = 0.3,
                        .sync_wait_seconds = 0.01});
  }
  const Json json = Json::parse(read_file(folder / "metrics.jsonl"));
  for (const char* key :
       {"step", "time", "loss", "lr", "grad_norm", "tokens", "samples", "tokens_per_second", "model_flops_per_second",
        "mfu", "memory_bytes", "joules", "joules_per_token", "power_w", "skipped", "seconds", "sync_wait_seconds"})
    EXPECT_TRUE(json.at(key).is_number()) << key;
  EXPECT_EQ(json.at("tokens"), 4096);
  EXPECT_GT(json.at("memory_bytes"), 1 << 20);
  EXPECT_GT(json.at("time"), 1.7e9);
}

TEST(MetricsLog, NoStepStandsTwiceAfterAResume) {
  ScratchFolder folder;
  {
    MetricsLog log(folder.path(), kNoEvents, 0);
    log_steps(log, 1, 5);
    log.log(EvalMetrics{.step = 5});
    log_steps(log, 6, 9);
  }
  {
    MetricsLog log(folder.path(), kNoEvents, 5);
    EXPECT_THAT(steps_in(folder), ElementsAre(1, 2, 3, 4, 5, 5));
    log_steps(log, 6, 7);
  }
  EXPECT_THAT(steps_in(folder), ElementsAre(1, 2, 3, 4, 5, 5, 6, 7));
  { MetricsLog log(folder.path(), kNoEvents, 100); }
  EXPECT_THAT(steps_in(folder), ElementsAre(1, 2, 3, 4, 5, 5, 6, 7));
  { MetricsLog log(folder.path(), kNoEvents, 0); }
  EXPECT_TRUE(steps_in(folder).empty());
}

TEST(MetricsLog, ATornLastLineIsCut) {
  ScratchFolder folder;
  {
    MetricsLog log(folder.path(), kNoEvents, 0);
    log_steps(log, 1, 3);
  }
  const std::string whole = read_file(folder / "metrics.jsonl");
  const size_t second = whole.find('\n') + 1;
  for (size_t cut = second; cut < whole.size(); cut += 13) {  // anywhere behind the first line
    folder.write("metrics.jsonl", whole.substr(0, cut));
    MetricsLog log(folder.path(), kNoEvents, 3);
    log_steps(log, 4, 4);
    const auto steps = steps_in(folder);
    EXPECT_EQ(steps.front(), 1);
    EXPECT_EQ(steps.back(), 4);
    EXPECT_LE(steps.size(), 3u);
  }
}

TEST(MetricsLog, WhatIsNotOursInTheMiddleIsLeftOut) {
  ScratchFolder folder;
  folder.write("metrics.jsonl", "{\"step\":1,\"loss\":2}\n" + std::string(100, '\0') +
                                    "\nhello\n{\"step\":2}\n{\"step\":9}\n" +
                                    "{\"step\":3}\n{\"step\":99999999999999999999}\n{\"step\":4");
  MetricsLog log(folder.path(), kNoEvents, 3);
  log_steps(log, 4, 4);
  EXPECT_THAT(steps_in(folder), ElementsAre(1, 2, 3, 4));
}

TEST(MetricsLog, AFullDiskCostsLinesAndNothingElse) {
  ScratchFolder folder;
  MetricsLog log(folder.path(), {}, 0);
  log_steps(log, 1, 2);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  // Room for half a line.
  const rlimit small{std::filesystem::file_size(folder / "metrics.jsonl") + 40, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  testing::internal::CaptureStderr();
  log_steps(log, 3, 5);
  log.log(EvalMetrics{.step = 5});
  const std::string warnings = testing::internal::GetCapturedStderr();
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(log.lost_lines(), 4);
  EXPECT_EQ(warnings.find("metrics.jsonl"), warnings.rfind("metrics.jsonl")) << "one warning: " << warnings;
  EXPECT_NE(warnings.find("metrics.jsonl"), warnings.npos);
  log_steps(log, 6, 6);
  EXPECT_THAT(steps_in(folder), ElementsAre(1, 2, 6));
}

TEST(MetricsLog, WritesNothingThatIsNotAskedFor) {
  ScratchFolder folder;
  {
    MetricsLog log(folder.path(), {.jsonl = false, .tensorboard = false}, 0);
    log_steps(log, 1, 2);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  folder.write("file", "");
  EXPECT_THROW(MetricsLog(folder / "file", {}, 0), Error);
}

}  // namespace
}  // namespace tw
