// RUN/phases.json: seconds, joules and tokens of a run by phase, over all its starts, and what restarts wasted.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "src/meter/energy.h"

namespace tw {

struct PhaseTotals {
  double seconds = 0;
  double joules = 0;             // of the seconds that had a meter
  double unmetered_seconds = 0;  // of `seconds`; the joules of a phase are known only where this is 0
  int64_t tokens = 0;
  int64_t starts = 0;
  double node_seconds = 0;       // `seconds` x the nodes that were taken
  double known_joules() const { return unmetered_seconds > 0 ? kNoJoules : joules; }
  PhaseTotals& operator+=(const PhaseTotals& other);
  bool operator==(const PhaseTotals&) const = default;
};

// Names in use: scan, tokenize, load (opening data and weights), train, eval, checkpoint, generate. One process writes a
// ledger (rank 0). Writing that fails (full disk) is counted and warned of once: the run goes on.
class PhaseLedger {
 public:
  // Reads FOLDER/phases.json where there is one. A damaged file is kept as phases.json.damaged and a warning given.
  PhaseLedger(const std::filesystem::path& folder, const EnergyOptions& options);
  // What the meter of this start is; a ledger with any assumed joules stays "assumed".
  void set_meter(EnergyKind kind, const std::string& text);
  void set_nodes(int nodes) { nodes_ = nodes; }  // that this start takes: they have a price

  void start(const std::string& phase);  // counts a start
  // joules: NaN = unknown.
  void add(const std::string& phase, double seconds, double joules, int64_t tokens);

  // Training. `step` = optimiser steps done after this work; seconds and joules as above.
  void add_training(int64_t step, double seconds, double joules, int64_t tokens);
  // A checkpoint of `step` is whole: runs may go on from here. done: useful() when that step was done.
  void mark(int64_t step, const PhaseTotals& done);
  void mark(int64_t step) { mark(step, useful()); }
  // Training goes on from `step`: what was done beyond it becomes wasted. Exact where `step` was marked, else in
  // proportion to the steps since the mark before.
  void resume_training(int64_t step);

  const std::map<std::string, PhaseTotals>& phases() const noexcept { return phases_; }
  const PhaseTotals& wasted() const noexcept { return wasted_; }  // part of phase "train"
  int64_t useful_training_tokens() const;                         // tokens counted once
  double total_joules() const;                                    // all phases; NaN where any is unknown
  PhaseTotals total() const;                                      // all phases
  PhaseTotals useful() const;                                     // training that no restart threw away
  double eur(const PhaseTotals& of) const;                        // NaN = unknown
  int64_t last_step() const noexcept { return last_step_; }
  int nodes() const noexcept { return nodes_; }
  const EnergyOptions& options() const noexcept { return options_; }
  EnergyKind kind() const noexcept { return kind_; }

  // The file. save_if_due writes when the last write is `every` seconds old: a crash loses no more than that.
  void save();
  void save_if_due(double every = 5);
  int64_t failed_writes() const noexcept { return failed_writes_; }

 private:
  struct Mark {
    int64_t step = 0;
    PhaseTotals done;  // useful training up to it
  };
  PhaseLedger(const EnergyOptions& options, std::filesystem::path path);  // empty
  void read(std::string_view text);
  std::string to_json() const;

  std::filesystem::path path_;
  EnergyOptions options_;
  EnergyKind kind_ = EnergyKind::none;
  std::string meter_text_;
  std::map<std::string, PhaseTotals> phases_;
  PhaseTotals wasted_;
  std::vector<Mark> marks_;  // rising steps
  int64_t last_step_ = 0;
  int nodes_ = 1;
  double last_save_ = 0;
  int64_t failed_writes_ = 0;
};

// Measures one stretch of a phase: begin and stop are collective (they read the joules of all ranks). `ledger` is null
// on ranks that keep none.
class PhaseTimer {
 public:
  PhaseTimer(PhaseLedger* ledger, std::string phase, const EnergyMeter& meter, Communicator& comm);
  void stop(int64_t tokens);                            // adds to the ledger; once
  double seconds() const noexcept { return seconds_; }  // after stop
  double joules() const noexcept { return joules_; }    // of all ranks, after stop; NaN = unknown

 private:
  PhaseLedger* ledger_;
  std::string phase_;
  const EnergyMeter& meter_;
  Communicator& comm_;
  double seconds_ = 0, joules_ = kNoJoules;
  double begin_seconds_, begin_joules_;
};

}  // namespace tw
