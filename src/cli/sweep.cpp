#include "src/sweep/sweep.h"

#include <cstdio>
#include <map>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/config/files.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/core/signals.h"
#include "src/data/token_file.h"
#include "src/sweep/run.h"

namespace tw {
namespace {

struct Given {
  std::string documents, out;
  int64_t trial = -1;
  bool json = false, retry_failed = false, slurm = false, collect = false;
  std::vector<std::string> files, settings, sweep_settings;
  std::string command;
};

// What all trials share must let them be told apart, and let them go on.
void check_shared(const Config& base, const SweepPlan& plan) {
  const auto varied = [&](std::string_view key) {
    return std::any_of(plan.parameters.begin(), plan.parameters.end(), [&](const SweepParameter& p) { return p.key == key; });
  };
  TW_CHECK(base.get<std::string>("checkpoint.dir").empty(), config, "{}: checkpoint.dir: each trial has its checkpoints in a folder of its own",
           base.origin("checkpoint.dir"));
  TW_CHECK(base.get<std::string>("checkpoint.resume") == "auto", config, "{}: checkpoint.resume: a trial that was stopped goes on from its own "
           "checkpoint; to start all from one model set checkpoint.init_from", base.origin("checkpoint.resume"));
  TW_CHECK(base.get<bool>("metrics.jsonl"), config, "{}: metrics.jsonl = false: the results are read from there", base.origin("metrics.jsonl"));
  TW_CHECK(varied("data.train") || !base.get<std::vector<std::string>>("data.train").empty(), config,
           "data.train is empty: name token files, or a folder of documents: tokenwerk sweep DIR CONFIG.toml --out RUN");
  TW_CHECK(plan.metric != "eval_loss" || varied("data.val") || !base.get<std::vector<std::string>>("data.val").empty(), config,
           "data.val is empty, so there is no eval_loss: name held-out token files, or set sweep.metric = \"train_loss\"");
  bool length = base.get<double>("training.epochs") > 0;
  for (const char* key : {"training.steps", "training.max_tokens"}) length |= base.get<int64_t>(key) > 0;
  TW_CHECK(length || varied("training.steps") || varied("training.epochs") || varied("training.max_tokens"), config,
           "the runs have no length: set training.steps, training.epochs or training.max_tokens");
}

// What would end a trial before its first step; "" = nothing that can be seen here. vocabularies: of token files, kept.
std::string problem_of(const Sweep& sweep, const Trial& trial, std::map<std::string, int64_t>& vocabularies) {
  try {
    Config config = sweep.config_of(trial);
    int64_t vocab = 0;
    for (const std::string& path : config.get<std::vector<std::string>>("data.train")) {
      if (!vocabularies.contains(path)) vocabularies[path] = TokenFile::open(path, config.get<int>("data.raw_bits"))->vocab_size();
      vocab = std::max(vocab, vocabularies[path]);
    }
    if (!config.get<std::string>("checkpoint.init_from").empty()) return "";
    const ModelConfig model = resolve_model(config, vocab, std::nullopt);
    resolve_trainer(config, model, sweep.plan.ranks, std::nullopt, Device{});
    return "";
  } catch (const Error& e) {
    if (e.code() != ExitCode::config) throw;
    return e.what();
  }
}

void check_trials(const Sweep& sweep) {
  std::map<std::string, int64_t> vocabularies;
  std::string first;
  size_t bad = 0;
  for (const Trial& t : sweep.trials) {
    const std::string problem = problem_of(sweep, t, vocabularies);
    if (problem.empty()) continue;
    if (bad++ == 0) first = fmt::format("trial {} ({}): {}", t.name(), point_text(sweep.plan, t.point), problem);
  }
  TW_CHECK(bad < sweep.trials.size(), config, "none of the trials can start: {}", first);
  if (bad) log_warning("{} of {} trials cannot start, and will be shown as failed: {}", bad, sweep.trials.size(), first);
}

// The token files all trials share, made once.
void make_tokens(Config& base, const Given& given, const std::filesystem::path& out, Communicator& world) {
  base.set("data.folder", given.documents, "command line");
  const std::filesystem::path folder = out / "data";
  const auto file = [&](const char* split) { return folder / "tokens" / (std::string(split) + ".h5"); };
  const auto status = read_status(folder);
  if (!status || status->state != RunState::done || !std::filesystem::exists(file("train"))) {
    Config config = base;
    config.set("run.dir", folder.string(), "sweep");
    Job job(std::move(config), "tokenize", {given.documents, "--out", folder.string()}, world);
    job.show_progress = job.show_progress && !given.json;
    scan_step(job);
    tokenize_step(job);
    job.run.finish(ExitCode::ok, "");
  }
  base.set("data.train", std::vector<std::string>{file("train").string()}, "derived");
  if (std::filesystem::exists(file("val")) && base.get<std::vector<std::string>>("data.val").empty())
    base.set("data.val", std::vector<std::string>{file("val").string()}, "derived");
}

void show(const Sweep& sweep, const Given& given) {
  write_sweep_json(sweep, given.command);
  write_sweep_page(sweep);
  if (given.json) {
    print(sweep_json(sweep, given.command));
    return;
  }
  print(sweep_table(sweep));
  const std::vector<int> ranking = sweep.ranking();
  if (!ranking.empty()) {
    std::string command = "tokenwerk";
    for (const std::string& w : sweep.words_of(sweep.trials[size_t(ranking[0])], "runs/best")) command += " " + shell_word(w);
    std::printf("the best again: %s\n", command.c_str());
  }
  std::printf("page: %s\n", (sweep.folder / "sweep.html").c_str());
}

std::string outcome(const Sweep& sweep) {
  return fmt::format("{} of {} trials are done, {} failed, {} to go on with", sweep.count(TrialState::done), sweep.trials.size(),
                     sweep.count(TrialState::failed),
                     sweep.trials.size() - size_t(sweep.count(TrialState::done) + sweep.count(TrialState::failed)));
}

ExitCode write_script(const Sweep& sweep, const SweepRun& options) {
  const std::vector<int> numbers = unfinished_trials(sweep, options.retry_failed);
  if (numbers.empty()) {
    log_info("all trials have ended: there is nothing to submit");
    return ExitCode::ok;
  }
  const auto script = sweep.folder / "sweep.sbatch";
  write_file_atomically(script, slurm_script(sweep, numbers, options));
  std::printf("sbatch %s\n", shell_word(script.string()).c_str());
  log_info("{} trials; then: tokenwerk sweep --collect --out {}", numbers.size(), sweep.folder.string());
  return ExitCode::ok;
}

// A task of an array job: others write into the sweep's folder, too, so it keeps to its trial's.
ExitCode run_one(const Given& given, SweepRun options) {
  Sweep sweep = open_sweep(given.out);
  TW_CHECK(given.trial < int64_t(sweep.trials.size()), config, "--trial {}: {} has the trials 0 to {}", given.trial, given.out,
           sweep.trials.size() - 1);
  options.launcher = find_launcher(options.executable, sweep.plan.ranks);
  if (const char* cores = std::getenv("SLURM_CPUS_PER_TASK"); cores && sweep.base.is_default("training.threads")) options.threads = std::atoi(cores);
  const bool failed_before = sweep.trials[size_t(given.trial)].state == TrialState::failed;
  const ExitCode code = run_trials(sweep, {int(given.trial)}, options);
  const Trial& t = sweep.trials[size_t(given.trial)];
  if (t.state == TrialState::running) TW_FAIL(fenced, "trial {}: {}", t.name(), t.reason);
  if (t.state == TrialState::done) log_info("trial {} is done: {} {:.5g}", t.name(), sweep.plan.metric, t.metric);
  // Whatever became of the others.
  if (t.state == TrialState::failed) {
    if (failed_before && !given.retry_failed) log_warning("trial {} has failed before: {}; --retry-failed runs it again", t.name(), t.reason);
    return t.exit_code > 0 && t.exit_code < 128 ? ExitCode(t.exit_code) : ExitCode::numerics;
  }
  return code;
}

ExitCode run_all(const Given& given, SweepRun options, Communicator& world) {
  const bool fresh = !given.files.empty() || !given.settings.empty() || !given.documents.empty();
  Config base;
  SweepPlan plan;
  if (fresh) {  // checked before anything is written
    std::vector<FileNode> tables;
    base = load_config({given.files.begin(), given.files.end()}, given.settings, &tables);
    plan = read_sweep_plan(tables, given.sweep_settings);
    sweep_points(plan);
    if (given.documents.empty()) check_shared(base, plan);
  } else {
    open_sweep(given.out, {});
  }
  RunFolder run(given.out, given.command, world);
  Sweep sweep;
  ExitCode code = ExitCode::ok;
  try {
    if (fresh && !given.documents.empty()) {
      make_tokens(base, given, given.out, world);
      check_shared(base, plan);
    }
    sweep = fresh ? make_sweep(given.out, base, plan) : open_sweep(given.out, given.sweep_settings);
    options.launcher = find_launcher(options.executable, sweep.plan.ranks);
    check_trials(sweep);
    if (given.slurm) {
      code = write_script(sweep, options);
      write_sweep_json(sweep, given.command);
      run.finish(code, "written for Slurm");
      return code;
    }
    options.parallel = std::max(1, sweep.plan.parallel);
    // Runs side by side share the cores; results do not depend on threads.
    if (options.parallel > 1 && sweep.base.is_default("training.threads"))
      options.threads = std::max(1, all_cores() / (options.parallel * sweep.plan.ranks));
    const std::vector<int> numbers = unfinished_trials(sweep, given.retry_failed);
    log_info("{} trials of {}: {} are done, {} failed{}, {} are run now, {} at once", sweep.trials.size(), given.out, sweep.count(TrialState::done),
             sweep.count(TrialState::failed), sweep.count(TrialState::failed) && !given.retry_failed ? " (--retry-failed runs them again)" : "",
             numbers.size(), options.parallel);
    options.changed = [&] {
      write_sweep_json(sweep, given.command);
      run.at_step(sweep.count(TrialState::done) + sweep.count(TrialState::failed), int64_t(sweep.trials.size()));
    };
    std::vector<int> all;
    for (const Trial& t : sweep.trials) all.push_back(t.number);
    code = run_trials(sweep, all, options);
  } catch (const Error& e) {
    run.finish(e.code(), e.what());
    throw;
  }
  show(sweep, given);
  std::string reason = outcome(sweep);
  if (code == ExitCode::requeue) {
    reason += stop_signal() ? "; the same command goes on" : "; another process runs the rest";
    log_info("{}", reason);
  }
  run.finish(code, reason);
  return code;
}

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("sweep",
                      "Trains a model for each point of a grid, or for points drawn at random: the table [sweep] of the\n"
                      "settings says what is varied. A second call goes on where the first stopped.",
                      "tokenwerk sweep configs/sweep-example.toml --data.train train.h5 --data.val val.h5 --out runs/sweep1\n"
                      "  tokenwerk sweep ~/documents configs/sweep-example.toml --out runs/sweep1 --sweep.parallel 2\n"
                      "  tokenwerk sweep --out runs/sweep1 --retry-failed\n"
                      "  tokenwerk sweep configs/sweep-example.toml --out runs/sweep1 --slurm");
  Given given;
  arguments.word("DIR", given.documents, "Folder of documents: tokens are made of it once, for all trials", false);
  arguments.option("--out", given.out, "Folder of the sweep", true);
  arguments.flag("--retry-failed", given.retry_failed, "Run trials that failed again, from their checkpoints");
  arguments.flag("--slurm", given.slurm, "Run nothing: write OUT/sweep.sbatch, an array job, and print the command");
  arguments.option("--trial", given.trial, "Run this trial alone: what a task of the array job does");
  arguments.flag("--collect", given.collect, "Run nothing: gather what became of the trials");
  arguments.flag("--json", given.json, "Print the trials as JSON to standard output");
  arguments.allow_settings();
  if (!arguments.parse(words)) return ExitCode::ok;
  TW_CHECK(world.size() == 1 && world.transport() != "mpi", config,
           "sweep starts its runs itself: call it without mpirun; sweep.ranks says how many ranks a run has");
  TW_CHECK(given.slurm + given.collect + (given.trial >= 0) <= 1, config, "--slurm, --collect and --trial: one of them");
  given.command = command_line("sweep", words);
  given.files = arguments.config_files();
  for (size_t i = 0; i < arguments.settings().size(); ++i) {
    const std::string& word = arguments.settings()[i];
    auto& to = word.starts_with("--sweep.") ? given.sweep_settings : given.settings;
    to.push_back(word);
    if (word.find('=') == word.npos && i + 1 < arguments.settings().size() && !arguments.settings()[i + 1].starts_with("--"))
      to.push_back(arguments.settings()[++i]);
  }
  if (given.collect) {
    show(open_sweep(given.out), given);
    return ExitCode::ok;
  }
  SweepRun options{.executable = own_executable(), .retry_failed = given.retry_failed,
                   .show_progress = log_level() >= LogLevel::info && !given.json};
  return given.trial >= 0 ? run_one(given, options) : run_all(given, options, world);
}

}  // namespace

const Command kSweep = {"sweep", "many trainings: a grid or a random search of settings", run};

}  // namespace tw
