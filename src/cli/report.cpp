#include "src/meter/report.h"

#include <cstdio>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/core/file.h"
#include "src/core/log.h"
#include "src/sweep/sweep.h"

namespace tw {

void report_step(Job& job) {
  if (job.leader() && job.ledger) job.ledger->save();
  job.on_rank_0("report", [&] {
    write_report(job.run.path());
    return int64_t(0);
  });
}

namespace {

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments(
      "report", "Writes report.html into a run folder, sweep.html into that of a sweep, from what lies there. Several runs are\n"
      "compared on one page.",
      "tokenwerk report runs/first\n"
      "  tokenwerk report runs/first runs/second --out compare.html\n"
      "  tokenwerk report runs/* --json");
  std::vector<std::string> folders;
  std::string out;
  bool json = false;
  arguments.words("RUN", folders, "Run folder; two or more are compared", true);
  arguments.option("--out", out, "The page; default: RUN/report.html, compare.html for several runs");
  arguments.flag("--json", json, "Print the results and the settings that differ as JSON instead of writing a page");
  if (!arguments.parse(words)) return ExitCode::ok;
  if (world.rank() != 0) return ExitCode::ok;
  const std::vector<std::filesystem::path> runs(folders.begin(), folders.end());
  // Reads what is there: no lease is needed.
  if (runs.size() == 1 && is_sweep(runs[0])) {
    const Sweep sweep = open_sweep(runs[0]);
    if (!json) write_sweep_page(sweep, out);
    print(json ? sweep_json(sweep, "") : sweep_table(sweep));
  } else if (json) {
    print(comparison_json(runs) + "\n");
  } else if (runs.size() == 1) {
    write_report(runs[0], out);
    print(summary_table(runs[0], out) + "\n");
  } else {
    if (out.empty()) out = "compare.html";
    write_file_atomically(out, comparison_html(runs));
    log_info("{} runs compared: {}", runs.size(), out);
  }
  return ExitCode::ok;
}

}  // namespace

const Command kReport = {"report", "report.html of a run; runs compared", run};

}  // namespace tw
