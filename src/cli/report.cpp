#include "src/meter/report.h"

#include <cstdio>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/core/log.h"

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
  Arguments arguments("report", "Writes report.html into a run folder, from what lies there.", "tokenwerk report runs/first");
  std::string path;
  arguments.word("RUN", path, "Run folder");
  if (!arguments.parse(words)) return ExitCode::ok;
  if (world.rank() != 0) return ExitCode::ok;
  write_report(path);  // reads what is there: no lease is needed
  std::puts(summary_table(path).c_str());
  return ExitCode::ok;
}

}  // namespace

const Command kReport = {"report", "report.html of a run", run};

}  // namespace tw
