#include "src/cli/job.h"

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "src/core/activity.h"
#include "src/core/clock.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/core/signals.h"
#include "src/watchdog/watchdog.h"

namespace tw {

EnergyOptions energy_options(const Config& config) {
  EnergyOptions o;
  o.enabled = config.get<bool>("energy.enabled");
  o.source = config.get<std::string>("energy.source");
  o.assumed_watts = config.get<double>("energy.assumed_watts");
  o.pue = config.get<double>("energy.pue");
  o.price_eur_per_kwh = config.get<double>("energy.price_eur_per_kwh");
  o.price_eur_per_node_hour = config.get<double>("energy.price_eur_per_node_hour");
  o.co2_g_per_kwh = config.get<double>("energy.co2_g_per_kwh");
  return o;
}

int all_cores() { return int(std::max(1u, std::thread::hardware_concurrency())); }

void stop_if_asked() {
  if (const int signal = stop_signal())
    TW_FAIL(requeue, "signal {} asked for a stop; the same command goes on from here", signal);
}

void set_budgets(Config& config, const std::vector<std::string>& budgets) {
  Budget all;
  for (const std::string& text : budgets) all = joined(all, parse_budget(text));
  const auto set = [&](const char* key, double limit) {
    if (limit > 0) config.set(key, limit, "command line");
  };
  set("budget.joules", all.joules), set("budget.eur", all.eur), set("budget.seconds", all.seconds);
}

std::string command_line_with(const std::string& command, const std::vector<std::string>& words, const Budget& budget) {
  std::vector<std::string> kept;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--budget") {
      ++i;
    } else if (words[i].starts_with("--budget.") && words[i].find('=') == std::string::npos) {
      ++i;
    } else if (!words[i].starts_with("--budget=") && !words[i].starts_with("--budget.")) {
      kept.push_back(words[i]);
    }
  }
  kept.insert(kept.end(), {"--budget", budget_text(budget)});
  return command_line(command, kept);
}

std::string command_line(const std::string& command, const std::vector<std::string>& words) {
  std::string line = "tokenwerk " + command;
  for (const std::string& word : words) line += ' ' + shell_word(word);
  return line;
}

namespace {
// Before the GPUs are opened, which may hang.
void watch(const Config& config, const std::filesystem::path& folder, Communicator& world) {
  if (world.transport() != "mpi" || !config.get<bool>("watchdog.enabled")) return;
  start_watchdog(world, {.timeout_seconds = config.get<double>("watchdog.timeout_seconds"),
                         .folder = folder,
                         .record = [](ExitCode code, const std::string& reason) { record_failure(code, reason, 0); }});
}
}  // namespace

Job::Job(Config settings, const std::string& name, const std::vector<std::string>& words, Communicator& world)
    : config(std::move(settings)),
      command(command_line(name, words)),
      world(world),
      run(config.get<std::string>("run.dir"), command, world),
      compute((watch(config, run.path(), world), config), world, name != "scan" && name != "tokenize"),
      team(compute.team()),
      stream(compute.stream()),
      meter(energy_options(config), world, compute.gpus()) {
  const int64_t nodes = all_reduce_value(world, int64_t(world.node_rank() == 0), ReduceOp::sum);
  if (leader()) {
    ledger.emplace(run.path(), energy_options(config));
    ledger->set_meter(meter.kind(), meter.text());
    ledger->set_nodes(int(nodes));
    if (!compute.map().empty()) log_info("{}", compute.map());
    if (meter.kind() != EnergyKind::measured) log_info("energy: {}", meter.text());
    const int there = int(::sysconf(_SC_NPROCESSORS_ONLN));
    if (world.transport() == "mpi" && config.is_default("training.threads") && all_cores() * world.node_size() < there)
      log_warning("each rank may use {} of the node's {} cores: start with mpirun --bind-to none, or with launch/run", all_cores(),
                  there);
  }
  show_progress = leader() && log_level() >= LogLevel::info;
}

void Job::watch_budget() {
  const Budget wanted = {config.get<double>("budget.joules"), config.get<double>("budget.eur"),
                         config.get<double>("budget.seconds")};
  std::string failure;
  if (leader() && wanted.any()) {
    try {
      check_countable(wanted, meter, *ledger);
    } catch (const Error& e) {
      failure = e.what();
    }
  }
  failure = broadcast_text(world, failure, 0);
  TW_CHECK(failure.empty(), config, "{}", failure);
  budget = wanted;
}

std::string Job::spent(const PhaseTotals& more) const {
  if (!budget.any()) return "";
  PhaseTotals used = ledger->total();
  used += more;
  const Allowance allowed = allowance(budget, ledger->options(), used, {});
  if (allowed.time && !(used.joules > allowed.joules)) return "";
  return fmt::format("budget reached: {} are used; the same command with a larger --budget goes on",
                     describe_use(budget, *ledger, used));
}

void Job::stop_if_due() const {
  stop_if_asked();
  if (!budget.any()) return;
  const double seconds = now_seconds() - work_began_;
  double joules = meter.joules() - work_joules_;
  if (meter.kind() == EnergyKind::assumed) joules *= world.size();  // each rank has the same
  if (!std::isfinite(joules)) joules = 0;                           // for the moment
  const std::string text = spent({seconds, joules, 0, 0, 0, seconds * ledger->nodes()});
  TW_CHECK(text.empty(), budget, "{}", text);
}

std::filesystem::path Job::tokenizer() const {
  const bool named = config.origin("tokenizer.path") == kTokenizerOption;
  return !named && std::filesystem::exists(run.path() / "tokenizer.json") ? std::filesystem::path() : std::filesystem::path(config.get<std::string>("tokenizer.path"));
}

void Job::stop_if_spent() const {
  const std::string text = broadcast_text(world, leader() ? spent({}) : "", 0);
  TW_CHECK(text.empty(), budget, "{}", text);
}

void Job::on_rank_0(const std::string& phase, const std::function<int64_t()>& work) {
  PhaseTimer timer(phases(), phase, meter, world);
  int64_t tokens = 0;
  std::string failure;
  if (leader()) {
    work_began_ = now_seconds(), work_joules_ = meter.joules();
    try {
      stop_if_due();
      tokens = work();
    } catch (const Error& e) {
      failure = std::to_string(int(e.code())) + " " + e.what();
    }
  }
  // The others must not spin on a core that rank 0 works with.
  Tensor flag({1}, DType::i64);
  const Pending done = world.start_all_reduce(flag.view(), ReduceOp::max, stream);
  const std::optional<WaitScope> wait(leader() ? std::nullopt : std::optional<WaitScope>(std::in_place));
  while (!done->test()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  failure = broadcast_text(world, failure, 0);
  timer.stop(tokens);
  if (ledger) ledger->save();
  if (failure.empty()) return;
  const size_t space = failure.find(' ');
  throw Error(ExitCode(std::stoi(failure.substr(0, space))), failure.substr(space + 1));
}

}  // namespace tw
