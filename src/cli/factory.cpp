#include <cstdio>
#include <nlohmann/json.hpp>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/meter/report.h"

namespace tw {
namespace {

// Settings a folder of documents gets a small model with in minutes, where the user names no length of his own.
constexpr int64_t kDefaultSteps = 500;

// The first sample, as the last thing but the table that a person sees.
std::string first_sample(const std::filesystem::path& file) {
  const auto json = nlohmann::json::parse(read_file(file, 1 << 24), nullptr, false);
  if (!json.is_object() || !json.contains("samples") || json["samples"].empty()) return "";
  const auto& sample = json["samples"][0];
  return blank_lines_folded(sample.value("prompt", "") + sample.value("text", ""));
}

void say_how_to_go_on(const Job& job, const TrainingOutcome& outcome, const std::vector<std::string>& words) {
  if (outcome.enough.any()) log_info("to finish the training: {}", command_line_with("factory", words, outcome.enough));
  if (outcome.checkpoint.empty()) return;
  const std::string run = shell_word(job.run.path().string());
  log_info("the model as it is: tokenwerk eval {0}; tokenwerk generate {0}; tokenwerk report {0}", run);
}

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("factory", "From a folder of documents to a trained model: scan, tokenize, train, eval, generate, report.\n"
                      "A second call goes on where the first stopped.",
                      "tokenwerk factory ~/documents --out runs/first\n"
                      "  launch/run -n 2 factory ~/documents configs/quickstart.toml --out runs/first");
  std::string folder, out;
  std::vector<std::string> budgets;
  bool json = false;
  arguments.word("DIR", folder, "Folder of documents");
  arguments.option("--out", out, "Run folder", true);
  arguments.options("--budget", budgets, "Stop before the run takes more: 50kJ, 5EUR, 2h (may be repeated, or with commas)");
  arguments.flag("--json", json, "Print the evaluation as JSON to standard output");
  arguments.allow_settings();
  arguments.allow_device();
  if (!arguments.parse(words)) return ExitCode::ok;
  Config config = load_config({arguments.config_files().begin(), arguments.config_files().end()}, arguments.settings());
  config.set("data.folder", folder, "command line");
  config.set("run.dir", out, "command line");
  if (config.is_default("training.steps") && config.is_default("training.epochs") && config.is_default("training.max_tokens"))
    config.set("training.steps", kDefaultSteps, "factory");
  set_budgets(config, budgets);
  Job job(std::move(config), "factory", words, world);
  job.watch_budget();
  job.show_progress = job.show_progress && !json;

  const double start = now_seconds();
  const auto step = [&](const char* name, int number) {
    if (job.leader()) log_info("\n[{}/6] {}", number, name);
  };
  step("scan", 1), scan_step(job);
  step("tokenize", 2), tokenize_step(job);
  step("train", 3);
  const TrainingOutcome outcome = train_step(job);
  if (outcome.code != ExitCode::ok) {
    job.run.finish(outcome.code, outcome.reason);
    if (outcome.code == ExitCode::budget && job.leader()) say_how_to_go_on(job, outcome, words);
    return outcome.code;
  }
  job.stop_if_spent();
  step("evaluate", 4), evaluate_step(job);
  job.stop_if_spent();
  step("generate", 5), generate_step(job);
  job.run.finish(ExitCode::ok, "");
  step("report", 6), report_step(job);
  if (!job.leader()) return ExitCode::ok;
  log_info("\nfactory done in {}", human_seconds(now_seconds() - start));
  if (json && std::filesystem::exists(job.run.evaluation()))
    print(read_file(job.run.evaluation()) + "\n");
  else if (!json) {
    if (const std::string sample = first_sample(job.run.samples()); !sample.empty()) std::printf("A sample:\n%s\n\n", sample.c_str());
    std::printf("%s\n", summary_table(job.run.path()).c_str());
  }
  return ExitCode::ok;
}

}  // namespace

const Command kFactory = {"factory", "a folder of documents to a trained model and a report", run};

}  // namespace tw
