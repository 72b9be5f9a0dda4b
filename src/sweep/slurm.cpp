// The sweep as an array job of Slurm.
#include <fmt/format.h>

#include "src/core/format.h"
#include "src/sweep/run.h"

namespace tw {
namespace {

// "0-4,7,9-11".
std::string ranges(const std::vector<int>& numbers) {
  std::string out;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    out += fmt::format("{}{}", out.empty() ? "" : ",", numbers[i]);
    if (last > i) out += fmt::format("-{}", numbers[last]);
    i = last + 1;
  }
  return out;
}

// % begins a pattern in file names of sbatch.
std::string log_pattern(const std::filesystem::path& folder) {
  std::string out;
  for (const char c : folder.string()) out += c == '%' ? "%%" : std::string(1, c);
  return out + "/slurm-%A_%a.log";
}

}  // namespace

std::string slurm_script(const Sweep& sweep, const std::vector<int>& numbers, const SweepRun& run) {
  const std::filesystem::path here = std::filesystem::current_path(), folder = std::filesystem::absolute(sweep.folder).lexically_normal();
  TW_CHECK(folder.string().find_first_of("\n\"\\") == std::string::npos && here.string().find('\n') == std::string::npos, config,
           "{}: sbatch cannot take a folder of such a name", folder.string());
  const auto threads = sweep.base.get<int>("training.threads");
  std::string out = "#!/bin/bash\n";
  out += fmt::format("# sbatch [--partition P --time T ...] {}\n", shell_word(sweep.folder.string() + "/sweep.sbatch"));
  out += "# Made by tokenwerk sweep --slurm: a task for each trial that was not done. A task ends early to save, and starts\n"
         "# itself again until its trial is done. Results: tokenwerk sweep --collect --out FOLDER\n";
  out += "#SBATCH --job-name=tokenwerk-sweep\n";
  out += fmt::format("#SBATCH --array={}{}\n", ranges(numbers), sweep.plan.parallel > 0 ? fmt::format("%{}", sweep.plan.parallel) : "");
  out += fmt::format("#SBATCH --ntasks={}\n", sweep.plan.ranks);
  if (threads > 0) out += fmt::format("#SBATCH --cpus-per-task={}\n", threads);
  out += "#SBATCH --time=24:00:00\n#SBATCH --signal=B:USR1@300\n#SBATCH --requeue\n#SBATCH --open-mode=append\n";
  out += fmt::format("#SBATCH --output=\"{}\"\n", log_pattern(folder));
  out += "set -uo pipefail\n";
  out += fmt::format("cd {} || exit 66\n", shell_word(here.string()));
  if (!run.launcher.empty()) out += fmt::format("export TW_LAUNCH=${{TW_LAUNCH:-{}}}\n", shell_word(run.launcher.string()));
  out += fmt::format("program=${{TW_BIN:-{}}}\n", shell_word(run.executable.string()));
  out += "[[ -x $program ]] || { echo \"sweep.sbatch: there is no program $program: set TW_BIN\" >&2; exit 66; }\n\n";
  out += fmt::format("\"$program\" sweep --trial \"$SLURM_ARRAY_TASK_ID\" --out {}{} &\n", shell_word(sweep.folder.string()),
                     run.retry_failed ? " --retry-failed" : "");
  out += "trial=$!\n"
         "trap 'kill -USR1 \"$trial\"' USR1 TERM\n"
         "code=0\n"
         "while true; do\n"
         "  code=0\n"
         "  wait \"$trial\" || code=$?\n"
         "  kill -0 \"$trial\" 2>/dev/null || break\n"
         "done\n"
         "# 75: saved, start me again.\n"
         "if ((code == 75)); then scontrol requeue \"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\"; fi\n"
         "exit \"$code\"\n";
  return out;
}

}  // namespace tw
