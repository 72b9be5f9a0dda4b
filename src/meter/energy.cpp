#include "src/meter/energy.h"

#include <chrono>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/meter/energy_sources.h"

namespace tw {
namespace {

constexpr std::string_view kFilePrefix = "file:";
// RAPL's smallest range in use, 65 kJ, lasts 160 s at 400 W a package.
constexpr std::chrono::seconds kPoll{20};

void append(OpenedSource& source, OpenedSource more) {
  for (auto& counter : more.counters) source.counters.push_back(std::move(counter));
  source.wraps = source.wraps || more.wraps;
  source.text += (source.text.empty() || more.text.empty() ? "" : " and ") + more.text;
}

}  // namespace

std::string_view name_of(EnergyKind kind) {
  switch (kind) {
    case EnergyKind::measured:
      return "measured";
    case EnergyKind::assumed:
      return "assumed";
    case EnergyKind::none:
      break;
  }
  return "none";
}

struct EnergyMeter::State {
  std::mutex mutex;
  std::vector<std::unique_ptr<EnergyCounter>> counters;
  double assumed_watts = 0;
  double opened = now_seconds();
  std::condition_variable ends;
  bool end = false;
  std::thread poller;

  double read() {
    double sum = assumed_watts > 0 ? assumed_watts * (now_seconds() - opened) : 0;
    for (const auto& counter : counters) sum += counter->joules();  // NaN stays
    return sum;
  }
  void poll() {
    std::unique_lock lock(mutex);
    while (!ends.wait_for(lock, kPoll, [this] { return end; })) read();
  }
  ~State() {
    if (!poller.joinable()) return;
    {
      std::lock_guard lock(mutex);
      end = true;
    }
    ends.notify_all();
    poller.join();
  }
};

EnergyMeter::EnergyMeter() : text_("no meter: energy.enabled = false") {}
EnergyMeter::EnergyMeter(EnergyMeter&&) noexcept = default;
EnergyMeter& EnergyMeter::operator=(EnergyMeter&&) noexcept = default;
EnergyMeter::~EnergyMeter() = default;

EnergyMeter::EnergyMeter(const EnergyOptions& options, int node_rank, int node_size,
                         const std::vector<std::string>& gpus)
    : EnergyMeter() {
  TW_CHECK(node_rank >= 0 && node_rank < node_size, bug, "energy meter: rank {} of {} on the node", node_rank,
           node_size);
  if (!options.enabled) return;
  const std::string& name = options.source;
  OpenedSource boards, node;  // read by this rank; read by the node's first rank
  bool assumed = name == "assumed";
  if (name == "auto") {
    node = open_rapl(options.powercap);
    if (!gpus.empty()) {
      boards = open_nvml(options.nvml_library, gpus);
      if (boards.counters.empty()) {
        node = std::move(boards);  // joules of the CPUs alone would mislead where GPUs do the work
        boards = {};
      } else if (node.counters.empty()) {
        boards.text += " (CPU not measured)";
        node = {};
      }
    }
    assumed = boards.counters.empty() && node.counters.empty() && options.assumed_watts > 0;
  } else if (name == "nvml") {
    boards = open_nvml(options.nvml_library, gpus);
  } else if (name == "rapl") {
    node = open_rapl(options.powercap);
  } else if (name.starts_with(kFilePrefix)) {
    node = open_energy_file(name.substr(kFilePrefix.size()));
  } else if (name == "none") {
    text_ = "no meter: energy.source = \"none\"";
    return;
  } else if (!assumed) {
    TW_FAIL(config, "energy.source = \"{}\" is not known: auto, nvml, rapl, file:PATH, assumed, none", name);
  }

  if (assumed) {
    TW_CHECK(options.assumed_watts > 0, config, "energy.source = \"assumed\" wants energy.assumed_watts > 0");
    kind_ = EnergyKind::assumed;
    text_ = fmt::format("assumed {} W a rank", options.assumed_watts);
    if (name == "auto") text_ += "; " + node.text;
    state_ = std::make_unique<State>();
    state_->assumed_watts = options.assumed_watts;
    return;
  }
  if (boards.counters.empty() && node.counters.empty()) {
    const std::string why = boards.text.empty() ? node.text : boards.text;
    TW_CHECK(name == "auto", config, "energy.source = \"{}\": {}; \"auto\" takes what there is", name, why);
    text_ = "no meter: " + why;
    return;
  }
  kind_ = EnergyKind::measured;
  if (node_rank != 0) node.counters.clear();
  append(boards, std::move(node));
  text_ = boards.text;
  state_ = std::make_unique<State>();
  state_->counters = std::move(boards.counters);
  if (boards.wraps && !state_->counters.empty())
    state_->poller = std::thread([state = state_.get()] { state->poll(); });
}

EnergyMeter::EnergyMeter(const EnergyOptions& options, Communicator& comm, const std::vector<std::string>& gpus)
    : EnergyMeter() {
  // "<kind><first rank of a node?><text>"; an error is everybody's, so that no rank waits for one that gave up.
  std::string mine;
  try {
    *this = EnergyMeter(options, comm.node_rank(), comm.node_size(), gpus);
    mine = fmt::format("{}{}{}", int(kind_), comm.node_rank() == 0 ? 1 : 0, text_);
  } catch (const Error& e) {
    mine = std::string("E0") + e.what();
  }
  int ranks[3] = {}, nodes = 0;
  std::string texts[3];
  for (const std::string& theirs : all_gather_text(comm, mine)) {
    TW_CHECK(theirs.size() >= 2 && theirs[0] != 'E', config, "{}", theirs.size() < 2 ? theirs : theirs.substr(2));
    const int kind = theirs[0] - '0';
    TW_CHECK(kind >= 0 && kind < 3, bug, "energy meter: a rank says \"{}\"", theirs);
    if (ranks[kind]++ == 0) texts[kind] = theirs.substr(2);
    nodes += theirs[1] == '1';
  }
  for (int kind = 2; kind >= 0; --kind) {
    if (ranks[kind] == 0) continue;
    kind_ = EnergyKind(kind);
    text_ = texts[kind];
    if (ranks[kind] < comm.size())
      text_ += fmt::format(" (so on {} of {} ranks)", ranks[kind], comm.size());
    else if (kind_ == EnergyKind::measured && nodes > 1)
      text_ += fmt::format(", on {} nodes", nodes);
    break;
  }
}

double EnergyMeter::joules() const {
  if (!state_) return kNoJoules;
  std::lock_guard lock(state_->mutex);
  return state_->read();
}

double EnergyMeter::total(Communicator& comm) const {
  if (comm.size() == 1) return joules();
  return all_reduce_value(comm, joules(), ReduceOp::sum);
}

double measure_idle_watts(const EnergyMeter& meter, Communicator& comm, double seconds) {
  if (meter.kind() != EnergyKind::measured) return kNoJoules;
  const double before = meter.total(comm), start = now_seconds();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const double used = meter.total(comm) - before;
  return used / (now_seconds() - start);
}

std::vector<EnergySource> find_energy_sources(const EnergyOptions& options, const std::vector<std::string>& gpus) {
  std::vector<EnergySource> sources;
  const auto add = [&](std::string name, const OpenedSource& source) {
    sources.push_back({std::move(name), !source.counters.empty(), source.text});
  };
  add("nvml", open_nvml(options.nvml_library, gpus));
  add("rapl", open_rapl(options.powercap));
  if (options.source.starts_with(kFilePrefix))
    add(options.source, open_energy_file(options.source.substr(5)));
  else
    sources.push_back({"file:PATH", false, "a file with the cumulative joules of this node: none is named"});
  const bool watts = options.assumed_watts > 0;
  sources.push_back({"assumed", watts,
                     watts ? fmt::format("{} W a rank, no measurement", options.assumed_watts)
                           : std::string("energy.assumed_watts is not set")});
  return sources;
}

EnergyCost energy_cost(double joules, double node_seconds, const EnergyOptions& options) {
  constexpr double kJoulesPerKwh = 3.6e6;
  EnergyCost cost;
  cost.facility_joules = joules * options.pue;
  if (options.price_eur_per_kwh > 0 || options.price_eur_per_node_hour > 0) {
    cost.eur = node_seconds / 3600 * options.price_eur_per_node_hour;
    if (options.price_eur_per_kwh > 0) cost.eur += cost.facility_joules / kJoulesPerKwh * options.price_eur_per_kwh;
  }
  if (options.co2_g_per_kwh > 0) cost.co2_g = cost.facility_joules / kJoulesPerKwh * options.co2_g_per_kwh;
  return cost;
}

}  // namespace tw
