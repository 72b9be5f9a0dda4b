#include <unistd.h>

#include <nlohmann/json.hpp>
#include <set>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/core/file.h"
#include "src/core/log.h"
#include "src/core/utf8.h"
#include "src/machine/checks.h"

namespace tw {
namespace {

// What one node says of itself; ranks that are not the first of a node say nothing.
Findings look_at_this_node(const Surroundings& here, const Config& config, const GpuMap& gpus, int threads, int nodes) {
  Findings f;
  check_program(f);
  check_cpu(here, threads, f);
  check_memory(here, f);
  check_gpus(here, gpus, f);
  check_energy(energy_options(config), gpus, f);
  check_network(here, nodes, f);
  check_slurm(here, f);
  check_tools(here, f);
  check_system(here, f);
  return f;
}

// Of the other nodes, what is not as on rank 0's: notes and problems alone, with the node's name.
void add_other_nodes(Findings& out, const Findings& own, Communicator& world, const std::vector<std::string>& hosts) {
  const std::vector<std::string> all = all_gather_text(world, to_json(own));
  std::set<std::string> known = {hosts[0]};
  std::set<std::pair<std::string, std::string>> said;
  const Findings first = findings_from_json(all[0]);
  for (const Finding& f : first.all())
    if (f.verdict != Verdict::ok) said.emplace(f.section, f.name);
  for (size_t r = 1; r < all.size(); ++r) {
    if (!known.insert(hosts[r]).second) continue;
    const Findings others = findings_from_json(all[r]);
    for (Finding f : others.all()) {
      if (f.verdict == Verdict::ok || said.contains({f.section, f.name})) continue;
      f.text = f.section + ", " + f.name + ": " + f.text;
      f.section = "Other nodes", f.name = hosts[r].substr(0, 14);
      out.add(std::move(f));
    }
  }
}

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("doctor", "Says what works here, what is missing or slow, and the command that mends it.",
                      "tokenwerk doctor\n  launch/run -n 2 doctor configs/gpt2-124m.toml --out /shared/runs/gpt2");
  std::string out_folder;
  bool json = false, full = false;
  arguments.option("--out", out_folder, "Run folder (or the setting run.dir) whose disk is looked at; default: here");
  arguments.flag("--full", full, "Measure longer: 1 GiB on the disk, more pairs of ranks, large messages; all ranks in the table");
  arguments.flag("--json", json, "Print everything as JSON to standard output");
  arguments.allow_settings();
  if (!arguments.parse(words)) return ExitCode::ok;
  Config config = load_config({arguments.config_files().begin(), arguments.config_files().end()}, arguments.settings());
  if (!out_folder.empty()) config.set("run.dir", out_folder, "command line");

  const Surroundings here = surroundings_here(config.get<std::string>("run.dir"));
  const GpuMap gpus = read_gpu_map(here.nvml);
  const int threads = resolve_threads(config, world.node_size());
  const std::vector<std::string> hosts = hosts_of_ranks(world);
  const int nodes = int(std::set<std::string>(hosts.begin(), hosts.end()).size());
  const bool leader = world.rank() == 0;

  const Findings own = world.node_rank() == 0 ? look_at_this_node(here, config, gpus, threads, nodes) : Findings();
  Findings all = own;
  check_ranks(here, gpus, world, full ? 1 << 20 : 32, all);
  ThreadTeam team(1);
  check_exchange(world, Stream(team), full, all);
  // The disk after the exchange, so that the waiting ranks do not take its time.
  if (leader) check_storage(here, (full ? int64_t(1024) : int64_t(64)) << 20, all);
  check_shared_folder(here, world, all);
  add_other_nodes(all, own, world, hosts);
  if (here.superuser) all.without_sudo();
  // The leader alone looked at the disk.
  const ExitCode code = ExitCode(all_reduce_value(world, int64_t(leader ? int(all.code()) : 0), ReduceOp::max));
  if (!leader) return code;

  const int notes = all.count(Verdict::note), problems = all.count(Verdict::problem);
  if (json) {
    nlohmann::json result = {{"ok", problems == 0}, {"exit_code", int(code)}, {"notes", notes}, {"problems", problems}, {"ranks", world.size()}, {"nodes", nodes}};
    result["findings"] = nlohmann::json::parse(to_json(all));
    print(result.dump() + "\n");
    return code;
  }
  FindingStyle style{.colour = wants_colour(STDOUT_FILENO)};
  for (const Finding& f : all.all())
    if (f.section == "System" && f.name == "locale") style.utf8 = f.verdict == Verdict::ok;
  std::string text = format_findings(all, style) + "\n";
  if (problems == 0) text += notes == 0 ? "Nothing is missing.\n" : fmt::format("Nothing prevents a run. {} note{}, marked with \"!\".\n", notes, notes == 1 ? "" : "s");
  else text += fmt::format("{} problem{} a run (exit code {}), marked with \"{}\"; {} notes.\n", problems, problems == 1 ? " prevents" : "s prevent", int(code), style.utf8 ? "✗" : "X", notes);
  print(text);
  return code;
}

}  // namespace

const Command kDoctor = {"doctor", "what works on this machine, and what mends the rest", run};

}  // namespace tw
