#include <cstdio>
#include <nlohmann/json.hpp>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/core/file.h"
#include "src/core/log.h"
#include "src/interop/model_source.h"
#include "src/meter/metrics_server.h"
#include "src/nn/vocabulary_growth.h"
#include "src/watchdog/watchdog.h"

namespace tw {
namespace {

// Token files that lie in the run folder are trained on where none are named.
void take_own_tokens(Job& job) {
  const auto take = [&](const char* key, Split split) {
    if (!job.config.get<std::vector<std::string>>(key).empty() || !std::filesystem::exists(job.run.tokens(split))) return;
    job.config.set(key, std::vector<std::string>{job.run.tokens(split).string()}, "derived");
  };
  const bool own = job.config.get<std::vector<std::string>>("data.train").empty();
  take("data.train", Split::train);
  if (own) take("data.val", Split::val);
}

}  // namespace

TrainingOutcome train_step(Job& job) {
  take_own_tokens(job);
  const std::string source = job.config.get<std::string>("checkpoint.init_from");
  const auto start = [&](int64_t vocab) -> StartWeights {
    LoadedModel loaded = load_model(source);
    if (vocab > loaded.model.vocab_size) {
      TW_CHECK(job.config.get<int64_t>("lora.rank") == 0, config,
               "{}: the token files know {} tokens, {} knows {}, and adapters cannot learn the embeddings of new ones, which are frozen (lora.rank = {}). "
               "Train all weights for some steps first (the same command without lora.rank, in another run folder) and adapters from that run, or use "
               "documents that need no new tokens",
               job.config.origin("lora.rank"), vocab, loaded.origin, loaded.model.vocab_size, job.config.get<int64_t>("lora.rank"));
      if (job.leader()) log_info("the vocabulary of {} grows from {} to {} tokens: the new ones begin as the mean of the others", loaded.origin, loaded.model.vocab_size, vocab);
      GrownModel grown = grow_vocabulary(loaded.model, loaded.weights.view(), vocab);
      return {{grown.model, loaded.origin}, std::make_shared<const Tensor>(std::move(grown.weights))};
    }
    return {{loaded.model, loaded.origin}, std::make_shared<const Tensor>(std::move(loaded.weights))};
  };
  std::optional<MetricsServer> server;
  if (const int port = job.config.get<int>("metrics.port"); port > 0 && job.leader()) {
    server.emplace(port, watchdog_metrics);
    log_info("metrics: http://127.0.0.1:{}/metrics", server->port());
  }
  return train({.config = job.config,
                .comm = job.compute.comm(),
                .stream = job.stream,
                .folder = job.run.path(),
                .lease = job.run.lease(),
                .meter = job.meter,
                .ledger = job.phases(),
                .budget = job.budget,
                .threads = job.team.size(),
                .command = job.command,
                .metrics_server = server ? &*server : nullptr,
                .show_progress = job.show_progress,
                .start = source.empty() ? std::function<StartWeights(int64_t)>{} : start,
                .on_step = [&job](int64_t step, int64_t steps) { job.run.at_step(step, steps); }});
}

namespace {

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("train", "Trains a model on token files, over all ranks it is started with.",
                      "mpirun -np 2 --bind-to none tokenwerk train configs/tiny-cpu.toml --out runs/first --training.steps 100");
  std::string out;
  std::vector<std::string> budgets;
  bool json = false;
  arguments.option("--out", out, "Run folder (or the setting run.dir); its tokens/ are trained on where data.train names none");
  arguments.options("--budget", budgets, "Stop before the run takes more: 50kJ, 5EUR, 2h (may be repeated, or with commas)");
  arguments.flag("--json", json, "Print the outcome as JSON to standard output");
  arguments.allow_settings();
  arguments.allow_device();
  if (!arguments.parse(words)) return ExitCode::ok;
  Config config = load_config({arguments.config_files().begin(), arguments.config_files().end()}, arguments.settings());
  if (!out.empty()) config.set("run.dir", out, "command line");
  set_budgets(config, budgets);
  Job job(std::move(config), "train", words, world);
  job.watch_budget();
  job.show_progress = job.show_progress && !json;
  const TrainingOutcome outcome = train_step(job);
  if (json && job.leader()) {
    const nlohmann::json result = {{"step", outcome.step},
                                   {"steps", outcome.steps},
                                   {"loss", outcome.loss},
                                   {"checkpoint", outcome.checkpoint.string()},
                                   {"exit_code", int(outcome.code)},
                                   {"reason", outcome.reason}};
    print(result.dump() + "\n");
  }
  job.run.finish(outcome.code, outcome.reason);
  if (outcome.code == ExitCode::budget && outcome.enough.any() && job.leader())
    log_info("to finish: {}", command_line_with("train", words, outcome.enough));
  return outcome.code;
}

}  // namespace

const Command kTrain = {"train", "token files to a model, over MPI ranks", run};

}  // namespace tw
