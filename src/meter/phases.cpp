#include "src/meter/phases.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/json_guard.h"
#include "src/core/log.h"

namespace tw {
namespace {

using Json = nlohmann::ordered_json;
constexpr size_t kMaxMarks = 256, kMaxPhases = 64, kMaxName = 64, kMaxFile = 4 << 20;

PhaseTotals difference(const PhaseTotals& a, const PhaseTotals& b) {
  // Sums of doubles in another order may fall short of 0 by a rounding.
  return {std::max(0.0, a.seconds - b.seconds), std::max(0.0, a.joules - b.joules),
          std::max(0.0, a.unmetered_seconds - b.unmetered_seconds), std::max<int64_t>(0, a.tokens - b.tokens), 0,
          std::max(0.0, a.node_seconds - b.node_seconds)};
}

PhaseTotals scaled(const PhaseTotals& a, double factor) {
  return {a.seconds * factor, a.joules * factor, a.unmetered_seconds * factor,
          int64_t(std::llround(double(a.tokens) * factor)), 0, a.node_seconds * factor};
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const PhaseTotals& t) {
  Json json;
  json["seconds"] = t.seconds;
  json["joules"] = number(t.known_joules());
  json["metered_joules"] = t.joules;
  json["unmetered_seconds"] = t.unmetered_seconds;
  json["tokens"] = t.tokens;
  json["starts"] = t.starts;
  json["node_seconds"] = t.node_seconds;
  return json;
}

void add_cost(Json& json, const PhaseTotals& of, int64_t tokens, const EnergyOptions& options) {
  const double joules = of.known_joules();
  const EnergyCost cost = energy_cost(joules, of.node_seconds, options);
  json["joules_per_token"] = tokens > 0 ? number(joules / double(tokens)) : Json(nullptr);
  json["facility_joules"] = number(cost.facility_joules);
  json["eur"] = number(cost.eur);
  json["co2_g"] = number(cost.co2_g);
}

double real_of(const Json& json, const char* key) {
  const double value = json.at(key).get<double>();
  if (!std::isfinite(value) || value < 0) throw std::invalid_argument(std::string(key) + " is out of range");
  return value;
}

int64_t count_of(const Json& json, const char* key) {
  const auto count = whole_number(json.at(key));  // sums of many of them fit
  if (!count) throw std::invalid_argument(std::string(key) + " is no count");
  return *count;
}

PhaseTotals totals_of(const Json& json) {
  return {real_of(json, "seconds"), real_of(json, "metered_joules"), real_of(json, "unmetered_seconds"),
          count_of(json, "tokens"), count_of(json, "starts"),
          json.contains("node_seconds") ? real_of(json, "node_seconds") : real_of(json, "seconds")};
}

}  // namespace

PhaseTotals& PhaseTotals::operator+=(const PhaseTotals& other) {
  seconds += other.seconds;
  joules += other.joules;
  unmetered_seconds += other.unmetered_seconds;
  tokens += other.tokens;
  starts += other.starts;
  node_seconds += other.node_seconds;
  return *this;
}

PhaseLedger::PhaseLedger(const std::filesystem::path& folder, const EnergyOptions& options)
    : path_(folder / "phases.json"), options_(options) {
  std::error_code absent;
  if (!std::filesystem::exists(path_, absent)) return;
  std::string why;
  try {
    read(read_file(path_, kMaxFile));
    return;
  } catch (const std::exception& e) {  // ours or the parser's
    why = shortened(e.what(), 500);
  }
  *this = PhaseLedger(options, path_);
  const std::filesystem::path aside = path_.string() + ".damaged";
  std::error_code failed;
  std::filesystem::rename(path_, aside, failed);
  log_warning("{} is damaged ({}); a new one is begun{}", path_.string(), why,
              failed ? std::string() : ", the old one is kept as " + aside.string());
}

PhaseLedger::PhaseLedger(const EnergyOptions& options, std::filesystem::path path)
    : path_(std::move(path)), options_(options) {}

void PhaseLedger::read(std::string_view text) {
  const Json json = Json::parse(text);
  for (const auto& [name, totals] : json.at("phases").items()) {
    if (name.empty() || name.size() > kMaxName || phases_.size() >= kMaxPhases)
      throw std::invalid_argument("phases are not ours");
    phases_[name] = totals_of(totals);
  }
  wasted_ = totals_of(json.at("wasted"));
  const Json& training = json.at("training");
  last_step_ = count_of(training, "last_step");
  for (const Json& mark : training.at("marks")) {
    marks_.push_back({count_of(mark, "step"), totals_of(mark)});
    if (marks_.size() > kMaxMarks || marks_.back().step > last_step_ ||
        (marks_.size() > 1 && marks_.back().step <= marks_[marks_.size() - 2].step))
      throw std::invalid_argument("marks do not rise");
  }
  const std::string kind = json.at("meter").at("kind");
  if (kind == name_of(EnergyKind::measured)) kind_ = EnergyKind::measured;
  if (kind == name_of(EnergyKind::assumed)) kind_ = EnergyKind::assumed;
  meter_text_ = json.at("meter").at("text");
}

void PhaseLedger::set_meter(EnergyKind kind, const std::string& text) {
  const bool had_assumed = kind_ == EnergyKind::assumed && total().joules > 0;
  kind_ = had_assumed ? EnergyKind::assumed : kind;
  meter_text_ = had_assumed && kind != EnergyKind::assumed ? text + "; joules of earlier starts are assumed" : text;
}

void PhaseLedger::start(const std::string& phase) { ++phases_[phase].starts; }

void PhaseLedger::add(const std::string& phase, double seconds, double joules, int64_t tokens) {
  const bool known = std::isfinite(joules);
  phases_[phase] += {seconds, known ? joules : 0, known ? 0 : seconds, tokens, 0, seconds * nodes_};
}

void PhaseLedger::add_training(int64_t step, double seconds, double joules, int64_t tokens) {
  add("train", seconds, joules, tokens);
  last_step_ = step;
}

PhaseTotals PhaseLedger::useful() const {
  const auto train = phases_.find("train");
  return train == phases_.end() ? PhaseTotals{} : difference(train->second, wasted_);
}

PhaseTotals PhaseLedger::total() const {
  PhaseTotals sum;
  for (const auto& [name, totals] : phases_) sum += totals;
  return sum;
}

int64_t PhaseLedger::useful_training_tokens() const { return useful().tokens; }

double PhaseLedger::total_joules() const { return phases_.empty() ? kNoJoules : total().known_joules(); }

double PhaseLedger::eur(const PhaseTotals& of) const {
  return energy_cost(of.known_joules(), of.node_seconds, options_).eur;
}

void PhaseLedger::mark(int64_t step, const PhaseTotals& done) {
  std::erase_if(marks_, [&](const Mark& m) { return m.step >= step; });
  marks_.push_back({step, done});
  last_step_ = std::max(last_step_, step);
  if (marks_.size() > kMaxMarks) {  // old ones are thinned out: a resume between two is in proportion
    size_t kept = 0;
    for (size_t i = 0; i < marks_.size(); ++i)
      if (i >= kMaxMarks / 2 || i % 2 == 0) marks_[kept++] = marks_[i];
    marks_.resize(kept);
  }
}

void PhaseLedger::resume_training(int64_t step) {
  if (step < last_step_) {
    const PhaseTotals done = useful();
    Mark before;  // step 0, nothing done
    for (const Mark& m : marks_)
      if (m.step <= step) before = m;
    const double share = double(step - before.step) / double(last_step_ - before.step);
    PhaseTotals kept = before.done;
    kept += scaled(difference(done, before.done), share);
    PhaseTotals lost = difference(done, kept);
    lost.starts = 1;
    wasted_ += lost;
  }
  last_step_ = step;
  mark(step);
}

std::string PhaseLedger::to_json() const {
  Json json;
  json["meter"] = {{"kind", name_of(kind_)}, {"text", meter_text_}};
  json["pue"] = options_.pue;
  json["price_eur_per_kwh"] = options_.price_eur_per_kwh;
  json["price_eur_per_node_hour"] = options_.price_eur_per_node_hour;
  json["co2_g_per_kwh"] = options_.co2_g_per_kwh;
  Json& phases = json["phases"] = Json::object();
  for (const auto& [name, totals] : phases_) {
    Json& entry = phases[name] = tw::to_json(totals);
    // Wasted joules count, tokens that were trained twice do not.
    add_cost(entry, totals, name == "train" ? useful_training_tokens() : totals.tokens, options_);
  }
  json["wasted"] = tw::to_json(wasted_);
  json["total"] = tw::to_json(total());
  json["total"].erase("tokens");  // text tokenized, trained and generated: no sum of them means anything
  const PhaseTotals all = total();
  if (!phases_.empty()) add_cost(json["total"], all, useful_training_tokens(), options_);
  json["training"] = {{"last_step", last_step_}, {"useful_tokens", useful_training_tokens()}, {"marks", Json::array()}};
  for (const Mark& m : marks_) {
    Json entry{{"step", m.step}};
    entry.update(tw::to_json(m.done));
    json["training"]["marks"].push_back(std::move(entry));
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

void PhaseLedger::save() {
  last_save_ = now_seconds();
  try {
    write_file_atomically(path_, to_json());
  } catch (const Error& e) {
    if (failed_writes_++ == 0) log_warning("{}; the run goes on without", e.what());
  }
}

void PhaseLedger::save_if_due(double every) {
  if (now_seconds() - last_save_ >= every) save();
}

PhaseTimer::PhaseTimer(PhaseLedger* ledger, std::string phase, const EnergyMeter& meter, Communicator& comm)
    : ledger_(ledger),
      phase_(std::move(phase)),
      meter_(meter),
      comm_(comm),
      begin_seconds_(now_seconds()),
      begin_joules_(meter.total(comm)) {
  if (ledger_) ledger_->start(phase_);
}

void PhaseTimer::stop(int64_t tokens) {
  joules_ = meter_.total(comm_) - begin_joules_;
  seconds_ = now_seconds() - begin_seconds_;
  if (ledger_) ledger_->add(phase_, seconds_, joules_, tokens);
  ledger_ = nullptr;
}

}  // namespace tw
