#include "src/meter/report.h"

#include <cstdio>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "tests/meter/run_files.h"

namespace tw {
namespace {

TEST(Report, ShowsWhatTheRunFolderHolds) {
  ScratchFolder folder;
  RunFiles().write(folder);
  write_report(folder.path());
  const std::string html = read_file(folder / "report.html");
  EXPECT_TRUE(holds(html, "1.082"));                          // bits per byte
  EXPECT_TRUE(holds(html, "46 % less than order-3 n-gram"));  // the best of the others
  EXPECT_TRUE(holds(html, "gzip -9</dt>"));
  EXPECT_TRUE(holds(html, "100 <small>mJ</small>"));  // 300 J / 3000 tokens
  EXPECT_TRUE(holds(html, "376 J"));                  // 301 J x 1.25
  EXPECT_TRUE(holds(html, "predicted 1 min 40 s after step 10, measured 2 min 05 s (25 % more)"));
  EXPECT_TRUE(holds(html, "301 J of 600 J (50 %)"));                                                      // the budget
  EXPECT_TRUE(holds(html, "<td class=\"n\">6</td><td class=\"n\">7.5 %</td><td class=\"n\">31 %</td>"));  // recited
  EXPECT_TRUE(holds(html, "The model recites passages"));
  EXPECT_TRUE(holds(html, "Longest equal part 17 bytes. 37 % of"));
  EXPECT_TRUE(holds(html, "near duplicate</td><td>like plain</td>"));
  EXPECT_TRUE(holds(html, "<th scope=\"row\">email</th><td class=\"n\">1</td><td class=\"n\">3</td>"));
  EXPECT_TRUE(holds(html, "training.<wbr>steps"));
  EXPECT_TRUE(holds(html, "command line"));
  EXPECT_TRUE(holds(html, "&quot;a # b&quot;"));  // a # in quotes is no comment
  EXPECT_TRUE(holds(html, "mpirun -np 2 tokenwerk train &#39;" + folder.path().string() + "/config.toml&#39; \\\n"));
  EXPECT_FALSE(holds(html, "What is missing here"));
  EXPECT_EQ(count_of(html, "<figure"), 5u);
  // Nothing is loaded from anywhere.
  EXPECT_FALSE(holds(html, "http://"));
  EXPECT_FALSE(holds(html, "https://"));
  EXPECT_FALSE(holds(html, "src="));
  EXPECT_FALSE(holds(html, "url("));
  EXPECT_TRUE(holds(html, "default-src 'none'"));
}

// The one script on the page, and nothing that a file may hold, is allowed to run.
TEST(Report, ThePolicyNamesItsScript) {
  ScratchFolder folder;
  const std::string html = report_html(folder.path());
  const size_t begin = html.find("<script>") + 8, hash = html.find("script-src 'sha256-") + 19;
  const std::string script = html.substr(begin, html.find("</script>") - begin), digits = html.substr(hash, 43);
  EXPECT_EQ(html.substr(hash + 43, 2), "='") << "32 bytes";
  std::string hex;  // of the base64
  unsigned bits = 0, have = 0;
  for (const char c : digits) {
    bits =
        bits << 6 | unsigned(std::string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/").find(c));
    for (have += 6; have >= 4 && hex.size() < 64; have -= 4) hex += "0123456789abcdef"[bits >> (have - 4) & 15];
  }
  EXPECT_EQ(hex, Sha256().update(script).hex());
}

TEST(Report, OlderRunsAreShownWithWhatTheyHave) {
  ScratchFolder folder;
  RunFiles files;
  files.json["eval.json"].erase("memorisation");
  for (const char* key : {"baselines", "domains"}) files.json["eval.json"]["splits"][0].erase(key);
  files.json["samples.json"]["samples"][0].erase("nearest");
  files.json["train.json"].erase("time");
  for (Json& file : files.json["inventory.json"]["files"])
    for (const char* key : {"language", "findings", "source", "duplicate_of"}) file.erase(key);
  files.write(folder);
  const std::string html = report_html(folder.path());
  for (const char* sentence : {"eval.json names no baselines", "eval.json names no domains", "Not tested: eval.json",
                               "does not name the nearest", "holds no prediction", "names no languages",
                               "names no sources", "does not say whether personal data"})
    EXPECT_TRUE(holds(html, sentence));
  EXPECT_TRUE(holds(html, "1.082"));
}

// What a shell makes of a command: its words, one a line.
std::string words_of(const std::string& command) {
  ScratchFolder folder;
  folder.write("words.sh", "tokenwerk() { printf '%s\\n' \"$@\"; }\n" + command + "\n");
  FILE* shell = ::popen(("sh '" + (folder / "words.sh").string() + "'").c_str(), "r");
  std::string words;
  for (int c; shell && (c = std::fgetc(shell)) != EOF;) words += char(c);
  return shell && ::pclose(shell) == 0 ? words : "the shell failed";
}

TEST(Report, LongCommandsAreStillOne) {
  const std::string command =
      "tokenwerk factory 'a --b' --out 'it'\\''s --here' --training.steps 300 --note 'x \\ --y' --optimizer.lr 0.003 "
      "--z";
  ScratchFolder folder;
  RunFiles files;
  files.json["train.json"]["command"] = command;
  files.write(folder);
  const std::string html = report_html(folder.path());
  const size_t begin = html.find("<pre><code>") + 11;
  std::string shown = html.substr(begin, html.find("</code>", begin) - begin);
  for (size_t at; (at = shown.find("&#39;")) != shown.npos;) shown.replace(at, 5, "'");
  EXPECT_GT(count_of(shown, "\n"), 3u);
  EXPECT_EQ(words_of(shown), words_of(command));
  EXPECT_EQ(count_of(words_of(command), "\n"), 11u);
}

TEST(Report, AModelThatIsBeatenIsSaidToBe) {
  ScratchFolder folder;
  RunFiles files;
  files.json["eval.json"]["splits"][0]["bits_per_byte"] = 2.2;
  files.write(folder);
  EXPECT_TRUE(holds(report_html(folder.path()), "10 % more than order-3 n-gram: it is not beaten."));
}

TEST(Report, HostileTextStaysText) {
  const std::string hostile =
      "</script><script>alert(1)</script>\"><img src=x onerror=alert(1)>'onload='x' &amp; <!-- ]]> \x01";
  ScratchFolder folder;
  RunFiles(hostile).write(folder, hostile);
  const std::string html = report_html(folder.path());
  EXPECT_EQ(count_of(html, "<script>"), 1u);
  EXPECT_EQ(count_of(html, "</script>"), 1u);
  EXPECT_FALSE(holds(html, "<img"));
  EXPECT_FALSE(holds(html, "<!--"));
  EXPECT_FALSE(holds(html, "'onload"));
  EXPECT_FALSE(holds(html, "\"><img"));
  EXPECT_EQ(html.find('\x01'), html.npos);
  EXPECT_GT(count_of(html, "&lt;img src=x onerror"), 10u) << "shown as it is";
}

TEST(Report, OpensWithAnyFileMissing) {
  ScratchFolder empty;
  const std::string nothing = report_html(empty.path());
  for (const char* name : {"status.json", "config.toml", "train.json", "metrics.jsonl", "eval.json", "samples.json",
                           "phases.json", "inventory.json", "tokens/tokens.json"})
    EXPECT_TRUE(holds(nothing, std::string(name) + " is missing"));
  EXPECT_TRUE(holds(nothing, "no meter"));
  EXPECT_TRUE(holds(report_html(empty / ""), "<h1>" + empty.path().filename().string() + "</h1>"));
  EXPECT_TRUE(holds(summary_table(empty.path()), "not evaluated"));
  EXPECT_THROW(report_html(empty / "nowhere"), Error);
  for (const char* name : {"status.json", "config.toml", "train.json", "metrics.jsonl", "eval.json", "samples.json",
                           "phases.json", "inventory.json", "tokens/tokens.json"}) {
    ScratchFolder folder;
    RunFiles().write(folder);
    std::filesystem::remove(folder / name);
    const std::string html = report_html(folder.path());
    EXPECT_EQ(count_of(html, "is missing: "), 1u) << name;
    EXPECT_TRUE(holds(html, "</html>"));
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
      "{\"step\":1,\"loss\":2}\nhello\n{\"step\":2,\"loss\":null,\"loss_text\":\"nan\"}\n{\"step\":-4}\n{\"step\":8888888888888884,\"eval_loss\":2}\n{\"ste");
  folder.write("config.toml", "\xff\xff = [\n");
  const std::string html = report_html(folder.path());
  EXPECT_TRUE(holds(html, "metrics.jsonl: 4 lines are damaged"));
  EXPECT_TRUE(holds(html, "1 loss was not finite"));
  EXPECT_TRUE(holds(html, "config.toml is damaged"));
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
    files.json["samples.json"]["samples"].push_back(
        {{"prompt", wide}, {"text", wide}, {"nearest", {{"path", wide}, {"text", wide}}}});
    files.json["inventory.json"]["files"].push_back(
        {{"path", wide}, {"state", "broken"}, {"reason", wide}, {"kind", std::to_string(i) + wide}});
    files.json["inventory.json"]["files"].push_back({{"path", wide},
                                                     {"state", "used"},
                                                     {"kind", "html"},
                                                     {"licence", std::to_string(i) + wide},
                                                     {"source", std::to_string(i) + wide},
                                                     {"language", std::to_string(i) + wide},
                                                     {"findings", {{std::to_string(i) + wide, 1}}}});
    files.json["eval.json"]["splits"].push_back({{"name", wide}});
    files.json["eval.json"]["splits"][0]["domains"].push_back(
        {{"name", wide}, {"baselines", {{{"name", wide + std::to_string(i)}, {"bits_per_byte", 1}}}}});
    files.json["eval.json"]["memorisation"]["examples"].push_back({{"path", wide}, {"prompt", wide}, {"text", wide}});
    files.json["tokens/tokens.json"]["splits"]["s" + std::to_string(i)] = {{"name", wide}, {"tokens", 1}};
  }
  files.write(folder);
  // As many lines as a long run has.
  std::string metrics;
  metrics.reserve(size_t(40) << 20);
  for (int step = 1; step <= 200000; ++step)
    metrics += fmt::format(
        "{{\"step\":{},\"loss\":{}.{:03},\"lr\":0.00{:03},\"grad_norm\":1.{:02},\"tokens\":{},\"tokens_per_second\":{},"
        "\"joules_per_token\":0.{:03}}}\n",
        step, 2 + step % 3, step % 997, step % 991, step % 89, step * 10, 10000 + step % 77, 1 + step % 13);
  folder.write("metrics.jsonl", metrics);
  write_report(folder.path());
  EXPECT_LT(std::filesystem::file_size(folder / "report.html"), 1000000u);
}

TEST(Summary, SaysItInAFewLines) {
  ScratchFolder folder;
  RunFiles().write(folder);
  write_report(folder.path());
  const std::string text = summary_table(folder.path());
  EXPECT_TRUE(holds(text, "1.082; gzip -9 2.500; order-3 n-gram 2.000"));
  EXPECT_TRUE(holds(text, "perplexity 12.18"));
  EXPECT_TRUE(holds(text, "100 mJ a token trained"));
  EXPECT_TRUE(holds(text, "1.5k tokens/s"));
  EXPECT_TRUE(holds(text, "report.html"));
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
  EXPECT_TRUE(holds(summary_table(folder.path()), "mJ a token trained, assumed"));
  EXPECT_TRUE(holds(report_html(folder.path()), "<span class=\"tag\">assumed</span>"));
  std::filesystem::remove(folder / "phases.json");
  PhaseLedger ledger(folder.path(), {});
  ledger.set_meter(EnergyKind::none, "no meter: because");
  ledger.add_training(3, 1, kNoJoules, 10);
  ledger.save();
  const std::string text = summary_table(folder.path());
  EXPECT_TRUE(holds(text, "no meter: because"));
  EXPECT_FALSE(holds(text, "J a token"));
}

}  // namespace
}  // namespace tw
