// Joules of a run from the counters there are, or none: a number is never made up.
#pragma once
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace tw {

struct EnergyOptions {
  bool enabled = true;
  // "auto", or a source by name: "nvml" (boards of the GPUs in use), "rapl" (CPU packages), "file:PATH" (a file that
  // holds the cumulative joules of this node, as exporters for BMC or IPMI write), "assumed", "none".
  std::string source = "auto";
  double assumed_watts = 0;      // of a rank's share of its node; taken where no meter is found; 0 = no joules then
  double pue = 1;                // energy of the facility / energy of the computers
  double price_eur_per_kwh = 0;        // of the facility's energy; 0 = none
  double price_eur_per_node_hour = 0;  // of the machines; 0 = none. Both 0 = cost unknown
  double co2_g_per_kwh = 0;      // 0 = CO2 unknown
  // Where the counters are looked for; tests put others in.
  std::filesystem::path powercap = "/sys/class/powercap";
  std::string nvml_library = "libnvidia-ml.so.1";
};

enum class EnergyKind : int { measured, assumed, none };  // in this order a job of several ranks takes the last
std::string_view name_of(EnergyKind kind);

inline constexpr double kNoJoules = std::numeric_limits<double>::quiet_NaN();

// One cumulative counter.
class EnergyCounter {
 public:
  virtual ~EnergyCounter() = default;
  virtual double joules() = 0;  // since it was opened; NaN while it cannot be read. Any thread, one at a time.
};

// The meter of one rank. Counters of a whole node (RAPL, file) are read by its rank 0 alone; every other rank there has
// 0 joules of its own, so that sums over ranks count each joule once. Movable; may be read by any thread.
class EnergyMeter {
 public:
  EnergyMeter();  // none: "energy.enabled = false"
  // gpus: UUIDs ("GPU-...") of the devices this rank reads; of ranks that share a device one names it. Without any,
  // NVML is not touched. Error(config) where a source asked for by name cannot be read.
  EnergyMeter(const EnergyOptions& options, int node_rank, int node_size, const std::vector<std::string>& gpus = {});
  // The same with the places of `comm`, then agreed upon: Collective; the kind and text become the job's.
  EnergyMeter(const EnergyOptions& options, Communicator& comm, const std::vector<std::string>& gpus = {});
  EnergyMeter(EnergyMeter&&) noexcept;
  EnergyMeter& operator=(EnergyMeter&&) noexcept;
  ~EnergyMeter();

  double joules() const;                   // this rank's share since the meter was opened; NaN where unknown
  double total(Communicator& comm) const;  // Collective: the job's, equal on every rank; NaN if any share is unknown
  EnergyKind kind() const noexcept { return kind_; }
  const std::string& text() const noexcept { return text_; }  // "RAPL, 2 CPU packages", "no meter: ...", one sentence

 private:
  struct State;
  std::unique_ptr<State> state_;
  EnergyKind kind_ = EnergyKind::none;
  std::string text_;
};

// Mean power of the job while nothing is asked of it, watched for `seconds`. Collective; NaN where no meter measures it.
double measure_idle_watts(const EnergyMeter& meter, Communicator& comm, double seconds);

// Every source that is known, for `doctor`.
struct EnergySource {
  std::string name;  // as energy.source takes it
  bool usable = false;
  std::string text;  // what it would read, or why it cannot
};
std::vector<EnergySource> find_energy_sources(const EnergyOptions& options, const std::vector<std::string>& gpus = {});

// What joules at the computers and hours of nodes mean outside; NaN where the joules or the factor are not known. eur
// is the sum of both prices that are set: where energy has a price, it is unknown without joules.
struct EnergyCost {
  double facility_joules = kNoJoules;  // x pue
  double eur = kNoJoules;
  double co2_g = kNoJoules;
};
EnergyCost energy_cost(double joules, double node_seconds, const EnergyOptions& options);

}  // namespace tw
