#include "src/meter/report.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/meter/metrics_log.h"
#include "src/meter/phases.h"
#include "src/meter/report_chart.h"
#include "src/meter/report_html.h"
#include "src/meter/status.h"
#include "tests/meter/scratch_folder.h"

namespace tw {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using testing::Not;

size_t count_of(const std::string& text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

// A run folder as the commands leave it. `text` stands wherever a file may hold any text.
struct RunFiles {
  std::map<std::string, Json> json;
  std::string config;

  explicit RunFiles(const std::string& text = "plain") {
    json["eval.json"] = {{"checkpoint", text},
                         {"step", 30},
                         {"dtype", "fp32"},
                         {"seconds", 1.5},
                         {"splits",
                          {{{"name", "val"},
                            {"file", text},
                            {"documents", 3},
                            {"tokens", 900},
                            {"bytes", 3000},
                            {"loss", 2.5},
                            {"perplexity", 12.18},
                            {"bits_per_byte", 1.082},
                            {"gzip_bits_per_byte", 2.5},
                            {"ngram_bits_per_byte", 2.0},
                            {"ngram_order", 3}},
                           {{"name", text}, {"bits_per_byte", 3.0}}}}};
    json["samples.json"] = {
        {"checkpoint", text},
        {"step", 30},
        {"temperature", 0.8},
        {"top_k", 0},
        {"top_p", 0.95},
        {"seed", 1},
        {"samples",
         {{{"prompt", text}, {"text", text}, {"tokens", 20}, {"stopped", true}, {"tokens_per_second", 99.0}}}}};
    json["train.json"] = {
        {"model", {{"type", text}, {"num_hidden_layers", 2}, {"hidden_size", 64}, {"vocab_size", 512}}},
        {"parameters", 123456},
        {"ranks", 2},
        {"threads", 1},
        {"virtual_ranks", 2},
        {"deterministic", "elastic"},
        {"data_fingerprint", text},
        {"tokenizer_hash", text},
        {"inventory", text},
        {"checkpoint", text},
        {"start_to_first_step_seconds", 0.7},
        {"exchange", {{"exact_seconds", 0.01}, {"off_seconds", 0.009}}},
        {"flops_per_token", 1e6},
        {"arena_bytes", 1 << 20},
        {"command", text}};
    json["inventory.json"] = {
        {"folder", text},
        {"notes", {text}},
        {"files",
         {{{"path", text},
           {"state", "used"},
           {"reason", ""},
           {"kind", text},
           {"bytes", 100},
           {"text_bytes", 90},
           {"licence", text}},
          {{"path", text}, {"state", "broken"}, {"reason", text}, {"kind", "html"}, {"bytes", 5}}}}};
    json["tokens/tokens.json"] = {{"tokenizer_hash", text},
                                  {"inventory", text},
                                  {"splits", {{"train", {{"documents", 8}, {"tokens", 4000}, {"bytes", 12000}}}}}};
    config =
        "# All settings\n\n[training]\nsteps = 30  # command line\nseq_len = 256  # default\n\n[data]\nfolder = \"a # "
        "b\"  # " +
        text.substr(0, text.find('\n')) + "\n";
  }

  void write(const ScratchFolder& folder, const std::string& text = "plain") const {
    for (const auto& [name, content] : json) folder.write(name, content.dump());
    folder.write("config.toml", config);
    RunStatus status;
    status.state = RunState::done;
    status.reason = status.command = status.host = text;
    write_status(folder.path(), status);
    PhaseLedger ledger(folder.path(), {.pue = 1.25, .price_eur_per_kwh = 0.3});
    ledger.set_meter(EnergyKind::measured, text);
    ledger.resume_training(0);
    ledger.add_training(30, 60, 300, 3000);
    ledger.add(text.substr(0, 60), 1, 1, 0);
    ledger.save();
    MetricsLog log(folder.path(), {.jsonl = true, .tensorboard = false}, 0);
    for (int step = 1; step <= 30; ++step) {
      log.log(StepMetrics{.step = step,
                          .loss = 6.f / float(step),
                          .lr = 1e-3f,
                          .grad_norm = 1,
                          .tokens = step * 100,
                          .tokens_per_second = 1500,
                          .model_flops_per_second = 1e9,
                          .joules_per_token = 0.1});
      if (step % 10 == 0) log.log(EvalMetrics{.step = step, .loss = 6.5f / float(step), .perplexity = 2});
    }
  }
};

TEST(Report, ShowsWhatTheRunFolderHolds) {
  ScratchFolder folder;
  RunFiles().write(folder);
  write_report(folder.path());
  const std::string html = read_file(folder / "report.html");
  EXPECT_THAT(html, HasSubstr("1.082"));  // bits per byte
  EXPECT_THAT(html, HasSubstr("46 % less than the order-3 n-gram"));
  EXPECT_THAT(html, HasSubstr("57 % less than gzip -9"));
  EXPECT_THAT(html, HasSubstr("100 <small>mJ</small>"));  // 300 J / 3000 tokens
  EXPECT_THAT(html, HasSubstr("376 J"));                  // 301 J x 1.25
  EXPECT_THAT(html, HasSubstr("Licences: plain for 1 file."));
  EXPECT_THAT(html, HasSubstr("training.steps"));
  EXPECT_THAT(html, HasSubstr("command line"));
  EXPECT_THAT(html, HasSubstr("&quot;a # b&quot;"));  // a # in quotes is no comment
  EXPECT_THAT(html,
              HasSubstr("mpirun -np 2 tokenwerk train &#39;" + folder.path().string() + "/config.toml&#39; --run.dir"));
  EXPECT_THAT(html, Not(HasSubstr("What is missing here")));
  EXPECT_EQ(count_of(html, "<figure"), 5u);
  // Nothing is loaded from anywhere.
  EXPECT_THAT(html, Not(HasSubstr("http://")));
  EXPECT_THAT(html, Not(HasSubstr("https://")));
  EXPECT_THAT(html, Not(HasSubstr("src=")));
  EXPECT_THAT(html, Not(HasSubstr("url(")));
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
}

TEST(Report, AModelThatIsBeatenIsSaidToBe) {
  ScratchFolder folder;
  RunFiles files;
  files.json["eval.json"]["splits"][0]["bits_per_byte"] = 2.2;
  files.write(folder);
  EXPECT_THAT(report_html(folder.path()), HasSubstr("10 % more than the order-3 n-gram: it is not beaten."));
}

TEST(Report, HostileTextStaysText) {
  const std::string hostile =
      "</script><script>alert(1)</script>\"><img src=x onerror=alert(1)>'onload='x' &amp; <!-- ]]> \x01";
  ScratchFolder folder;
  RunFiles(hostile).write(folder, hostile);
  const std::string html = report_html(folder.path());
  EXPECT_EQ(count_of(html, "<script>"), 1u);
  EXPECT_EQ(count_of(html, "</script>"), 1u);
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_THAT(html, Not(HasSubstr("<!--")));
  EXPECT_THAT(html, Not(HasSubstr("'onload")));
  EXPECT_THAT(html, Not(HasSubstr("\"><img")));
  EXPECT_EQ(html.find('\x01'), html.npos);
  EXPECT_GT(count_of(html, "&lt;img src=x onerror"), 10u) << "shown as it is";
}

TEST(Report, OpensWithAnyFileMissing) {
  ScratchFolder empty;
  const std::string nothing = report_html(empty.path());
  for (const char* name : {"status.json", "config.toml", "train.json", "metrics.jsonl", "eval.json", "samples.json",
                           "phases.json", "inventory.json", "tokens/tokens.json"})
    EXPECT_THAT(nothing, HasSubstr(std::string(name) + " is missing"));
  EXPECT_THAT(nothing, HasSubstr("no meter"));
  EXPECT_THAT(report_html(empty / ""), HasSubstr("<h1>" + empty.path().filename().string() + "</h1>"));
  EXPECT_THAT(summary_table(empty.path()), HasSubstr("not evaluated"));
  EXPECT_THROW(report_html(empty / "nowhere"), Error);
  for (const char* name : {"status.json", "config.toml", "train.json", "metrics.jsonl", "eval.json", "samples.json",
                           "phases.json", "inventory.json", "tokens/tokens.json"}) {
    ScratchFolder folder;
    RunFiles().write(folder);
    std::filesystem::remove(folder / name);
    const std::string html = report_html(folder.path());
    EXPECT_EQ(count_of(html, "is missing: "), 1u) << name;
    EXPECT_THAT(html, HasSubstr("</html>"));
    summary_table(folder.path());
  }
}

TEST(Report, SaysWhichFileIsDamaged) {
  for (const std::string& bad : {std::string(), std::string("{"), std::string("[1,2]"), std::string("\xff\xfe"),
                                 std::string("{\"splits\": [\"\xc3\"]}"), std::string(200000, '[')}) {
    ScratchFolder folder;
    RunFiles().write(folder);
    for (const char* name : {"status.json", "train.json", "eval.json", "samples.json", "phases.json", "inventory.json",
                             "tokens/tokens.json"})
      folder.write(name, bad);
    const std::string html = report_html(folder.path());
    EXPECT_EQ(count_of(html, "is damaged"), 7u) << bad.substr(0, 40);
    summary_table(folder.path());
  }
  ScratchFolder folder;
  RunFiles().write(folder);
  folder.write(
      "metrics.jsonl",
      "{\"step\":1,\"loss\":2}\nhello\n{\"step\":2,\"loss\":null,\"loss_text\":\"nan\"}\n{\"step\":-4}\n{\"ste");
  folder.write("config.toml", "\xff\xff = [\n");
  const std::string html = report_html(folder.path());
  EXPECT_THAT(html, HasSubstr("metrics.jsonl: 3 lines are damaged"));
  EXPECT_THAT(html, HasSubstr("1 losses were not finite"));
  EXPECT_THAT(html, HasSubstr("config.toml is damaged"));
}

// Every value in every file, in turn, replaced by values of other kinds.
TEST(Report, NoValueOfAnyKindStopsIt) {
  ScratchFolder folder;
  const RunFiles good;
  good.write(folder);
  std::map<std::string, Json> files = good.json;
  for (const char* name : {"status.json", "phases.json"}) files[name] = Json::parse(read_file(folder / name));
  folder.write("metrics.jsonl", "");  // the same each time
  const Json others[] = {nullptr, true, -1, 1e308, "text", Json::array({1, "x", nullptr}), Json::object({{"a", 1}})};
  for (const auto& [name, content] : files) {
    std::set<std::string> places;  // of leaves and of all that holds them
    const Json flat = content.flatten();
    for (const auto& [pointer, value] : flat.items())
      for (std::string at = pointer; !at.empty(); at.resize(at.rfind('/'))) places.insert(at);
    for (const std::string& at : places)
      for (const Json& other : others) {
        Json changed = content;
        changed[Json::json_pointer(at)] = other;
        folder.write(name, changed.dump());
        ASSERT_NO_THROW(report_html(folder.path()); summary_table(folder.path())) << name << ' ' << at << ' ' << other;
      }
    folder.write(name, content.dump());
  }
}

TEST(Report, StaysBelowOneMegabyte) {
  ScratchFolder folder;
  const std::string wide(20000, '"');  // six bytes each when escaped
  RunFiles files(wide);
  files.config.clear();
  for (int i = 0; i < 500; ++i)
    files.config +=
        "key" + std::to_string(i) + " = \"" + std::string(2000, '&') + "\"  # " + std::string(2000, '<') + "\n";
  for (int i = 0; i < 300; ++i) {
    files.json["samples.json"]["samples"].push_back({{"prompt", wide}, {"text", wide}});
    files.json["inventory.json"]["files"].push_back(
        {{"path", wide}, {"state", "broken"}, {"reason", wide}, {"kind", std::to_string(i) + wide}});
    files.json["eval.json"]["splits"].push_back({{"name", wide}});
    files.json["tokens/tokens.json"]["splits"]["s" + std::to_string(i)] = {{"name", wide}, {"tokens", 1}};
  }
  files.write(folder);
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
  folder.write("metrics.jsonl", metrics);
  write_report(folder.path());
  EXPECT_LT(std::filesystem::file_size(folder / "report.html"), 1000000u);
}

TEST(Report, LongCurvesKeepTheirMeanAndRange) {
  report::Curve curve;
  for (int i = 0; i < 10000; ++i) {
    curve.step.push_back(i);
    curve.value.push_back(i == 5000 ? 50 : 1);  // one spike
  }
  const std::string svg = report::chart({.title = "t"}, {{"a", "a", &curve}});
  EXPECT_TRUE(svg.find("class=\"band a\"") != svg.npos);
  EXPECT_TRUE(svg.find(">40</span>") != svg.npos) << "the axis reaches the spike";
  EXPECT_TRUE(svg.find("[5012,2.96]") != svg.npos) << "the mean of 24 ones and the spike";
  EXPECT_LT(svg.size(), 40000u);
  const report::Curve empty;
  EXPECT_THAT(report::chart({.title = "t"}, {{"a", "a", &empty}}), HasSubstr("no values"));
}

TEST(Report, TicksAreRound) {
  const std::vector<double> fifths = {0, 0.2, 0.4, 0.6, 0.8, 1};
  EXPECT_THAT(report::ticks(0, 1, 5), testing::Pointwise(testing::DoubleNear(1e-12), fifths));
  EXPECT_THAT(report::ticks(1.97, 8.2, 5), testing::ElementsAre(2, 4, 6, 8));
  EXPECT_EQ(report::ticks(3, 3, 5).size(), 1u);
  EXPECT_LE(report::ticks(-1e300, 1e300, 5).size(), 20u);
}

TEST(Report, TextIsCutBetweenCharacters) {
  const std::string umlauts = "äöüäöü";
  for (size_t limit = 0; limit <= umlauts.size(); ++limit) {
    const std::string cut = report::escaped(umlauts, limit);
    EXPECT_NO_THROW(Json(cut).dump()) << limit;  // valid UTF-8
    EXPECT_EQ(cut.ends_with("…"), limit < umlauts.size());
  }
  EXPECT_EQ(report::escaped("😀😀", 5), "😀…");
  EXPECT_EQ(report::escaped("a<b>&\"'", 100), "a&lt;b&gt;&amp;&quot;&#39;");
}

TEST(Summary, SaysItInAFewLines) {
  ScratchFolder folder;
  RunFiles().write(folder);
  write_report(folder.path());
  const std::string text = summary_table(folder.path());
  EXPECT_THAT(text, HasSubstr("1.082; n-gram of order 3 2.000; gzip -9 2.500"));
  EXPECT_THAT(text, HasSubstr("perplexity 12.18"));
  EXPECT_THAT(text, HasSubstr("100 mJ a token trained"));
  EXPECT_THAT(text, HasSubstr("1.5k tokens/s"));
  EXPECT_THAT(text, HasSubstr("report.html"));
  EXPECT_LT(count_of(text, "\n"), 15u);
}

TEST(Summary, MarksWhatIsAssumedAndNamesTheMissingMeter) {
  ScratchFolder folder;
  RunFiles().write(folder);
  {
    PhaseLedger ledger(folder.path(), {});
    ledger.set_meter(EnergyKind::assumed, "assumed 10 W a rank");
    ledger.save();
  }
  EXPECT_THAT(summary_table(folder.path()), HasSubstr("mJ a token trained, assumed"));
  EXPECT_THAT(report_html(folder.path()), HasSubstr("<span class=\"tag\">assumed</span>"));
  std::filesystem::remove(folder / "phases.json");
  PhaseLedger ledger(folder.path(), {});
  ledger.set_meter(EnergyKind::none, "no meter: because");
  ledger.add_training(3, 1, kNoJoules, 10);
  ledger.save();
  const std::string text = summary_table(folder.path());
  EXPECT_THAT(text, HasSubstr("no meter: because"));
  EXPECT_THAT(text, Not(HasSubstr("J a token")));
}

}  // namespace
}  // namespace tw
