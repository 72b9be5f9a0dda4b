// What became of a trial: trial.json, and the files of its run.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cmath>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/host.h"
#include "src/core/json_guard.h"
#include "src/meter/report/facts.h"
#include "src/meter/status.h"
#include "src/sweep/sweep.h"

namespace tw {
namespace fs = std::filesystem;
using report::Json;

namespace {

constexpr size_t kMaxRecord = 1 << 20;

Json parameters_json(const Trial& trial, const SweepPlan& plan) {
  Json all = Json::object();
  for (size_t i = 0; i < trial.point.size(); ++i)
    std::visit([&](const auto& v) { all[plan.parameters[i].key] = v; }, trial.point[i]);
  return all;
}

// Whether the process that wrote the record may still be at work: on another host that cannot be known.
bool may_live(const Json& record) {
  const auto pid = whole_number(record.value("pid", Json()), 1, 1 << 30);
  if (!pid) return false;
  return report::text_of(record, "host") != host_name() || ::kill(pid_t(*pid), 0) == 0;
}

void read_record(Trial& trial, const SweepPlan& plan) {
  const fs::path file = trial.folder / "trial.json";
  const std::string text = read_file(file, kMaxRecord);
  check_json_structure(text, {.depth = 8, .values = 4096}, file.string());
  const Json record = Json::parse(text, nullptr, false);
  const auto starts = whole_number(record.is_object() ? record.value("starts", Json()) : Json(), 0, 1 << 30);
  const auto code = whole_number(record.is_object() ? record.value("exit_code", Json(0)) : Json(), 0, 255);
  const double seconds = report::real_of(record, "seconds");
  const std::string state = report::text_of(record, "state");
  TW_CHECK(starts && code && seconds >= 0 && std::isfinite(seconds), data, "{} is damaged: remove the folder, and the trial is run anew",
           file.string());
  TW_CHECK(report::part_of(record, "parameters") == parameters_json(trial, plan), data,
           "{} is of other parameters than {}: remove the folder, and the trial is run anew", file.string(), point_text(plan, trial.point));
  trial.starts = int(*starts), trial.exit_code = int(*code), trial.seconds = seconds;
  trial.reason = report::text_of(record, "reason");
  trial.state = TrialState::stopped;
  for (const TrialState s : {TrialState::done, TrialState::failed, TrialState::running})
    if (state == name_of(s)) trial.state = s;
  if (trial.state == TrialState::running && !may_live(record)) {
    trial.state = TrialState::stopped;
    trial.reason = "ended without a word";
  }
}

}  // namespace

void read_trial(Trial& trial, const SweepPlan& plan) {
  trial.metric = trial.eval_loss = trial.train_loss = trial.tokens_per_second = trial.joules_per_token = trial.joules = NAN;
  std::error_code none;
  if (!fs::exists(trial.folder / "trial.json", none)) return;
  read_record(trial, plan);
  const report::RunRecord run = report::read_run(trial.folder);
  const double step = report::real_of(run.status, "step"), steps = report::real_of(run.status, "steps");
  trial.step = step > 0 && step < 1e15 ? int64_t(step) : 0;
  trial.steps = steps > 0 && steps < 1e15 ? int64_t(steps) : 0;
  // A loss that is no number at the end is no result, whatever stood there before.
  const bool evaluated = !run.eval_loss.empty() && (run.eval_loss.last_step() >= run.step || trial.exit_code == int(ExitCode::budget));
  if (evaluated) trial.eval_loss = run.eval_loss.last();
  if (run.step_lines > 0) trial.train_loss = run.final_loss;
  trial.tokens_per_second = run.tokens_per_second.median();
  const report::Energy energy = report::energy_of(run);
  trial.joules = energy.joules, trial.joules_per_token = energy.joules_per_token, trial.energy = energy.kind;
  trial.metric = plan.metric == "eval_loss"    ? trial.eval_loss
                 : plan.metric == "train_loss" ? trial.train_loss
                 : plan.metric == "tokens_per_second" ? trial.tokens_per_second
                                                      : trial.joules_per_token;
  if (trial.state == TrialState::done && !std::isfinite(trial.metric)) {
    trial.state = TrialState::failed;
    trial.reason = plan.metric == "joules_per_token"
                       ? "no joules_per_token: there is no energy meter, and energy.assumed_watts is not set"
                       : fmt::format("{} is missing or not finite at its end", plan.metric);
  }
}

void write_trial(const Trial& trial, const SweepPlan& plan) {
  const Json record = {{"number", trial.number},
                       {"parameters", parameters_json(trial, plan)},
                       {"state", name_of(trial.state)},
                       {"exit_code", trial.exit_code},
                       {"reason", trial.reason},
                       {"starts", trial.starts},
                       {"seconds", trial.seconds},
                       {"host", host_name()},
                       {"pid", ::getpid()},
                       {"updated", iso_time(unix_seconds())}};
  write_file_atomically(trial.folder / "trial.json", record.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string sweep_json(const Sweep& sweep, const std::string& command) {
  using Ordered = nlohmann::ordered_json;
  const SweepPlan& plan = sweep.plan;
  const auto number = [](double v) { return std::isfinite(v) ? Ordered(v) : Ordered(nullptr); };
  const std::vector<int> ranking = sweep.ranking();
  Ordered out = {{"folder", sweep.folder.string()}, {"command", command}, {"version", program_version()}, {"updated", iso_time(unix_seconds())}};
  out["sweep"] = {{"method", plan.random ? "random" : "grid"},
                  {"runs", sweep.trials.size()},
                  {"seed", plan.seed},
                  {"metric", plan.metric},
                  {"goal", plan.least ? "min" : "max"},
                  {"ranks", plan.ranks}};
  for (const SweepParameter& p : plan.parameters) out["sweep"]["parameters"][p.key] = p.to_toml();
  for (const TrialState s : {TrialState::done, TrialState::failed, TrialState::stopped, TrialState::running, TrialState::waiting})
    out[std::string(name_of(s))] = sweep.count(s);
  out["best"] = ranking.empty() ? Ordered(nullptr) : Ordered(ranking[0]);
  out["ranking"] = ranking;
  out["trials"] = Ordered::array();
  for (const Trial& t : sweep.trials) {
    Ordered entry = {{"number", t.number}, {"folder", "trials/" + t.name()}, {"parameters", Ordered::parse(parameters_json(t, plan).dump())},
                     {"state", name_of(t.state)}, {"metric", number(t.state == TrialState::done ? t.metric : NAN)}};
    entry["eval_loss"] = number(t.eval_loss);
    entry["train_loss"] = number(t.train_loss);
    entry["tokens_per_second"] = number(t.tokens_per_second);
    entry["step"] = t.step, entry["steps"] = t.steps, entry["starts"] = t.starts;
    entry["seconds"] = t.seconds;
    entry["joules"] = number(t.joules);
    entry["energy"] = t.energy;
    const bool ended = t.state == TrialState::done || t.state == TrialState::failed || t.state == TrialState::stopped;
    entry["exit_code"] = ended ? Ordered(t.exit_code) : Ordered(nullptr);
    entry["reason"] = t.reason;
    out["trials"].push_back(std::move(entry));
  }
  return out.dump(2, ' ', false, Ordered::error_handler_t::replace) + "\n";
}

void write_sweep_json(const Sweep& sweep, const std::string& command) {
  write_file_atomically(sweep.folder / "sweep.json", sweep_json(sweep, command));
}

}  // namespace tw
