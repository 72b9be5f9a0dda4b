#include <cstdio>
#include <limits>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/core/file.h"
#include "src/core/log.h"
#include "src/data/scan_cache.h"
#include "src/meter/progress.h"

namespace tw {

void scan_step(Job& job, size_t shown) {
  job.on_rank_0("scan", [&] {
    const std::string folder = job.config.get<std::string>("data.folder");
    TW_CHECK(!folder.empty(), config, "no folder of documents was given: tokenwerk scan DIR --out RUN");
    std::error_code error;
    ScanCache cache(job.run.scan_cache(), std::filesystem::canonical(folder, error));
    WorkMeter meter("scan", 0, true, "", {.quiet = !job.show_progress});
    int64_t seen = 0;
    ScanOptions options;
    options.shares = parse_split(job.config.get<std::string>("data.split"));
    options.leave_out = {job.run.path()};
    options.kinds = job.config.get<std::vector<std::string>>("data.kinds");
    options.near_duplicates = job.config.get<double>("data.near_duplicates");
    options.languages = job.config.get<std::vector<std::string>>("data.languages");
    options.quality = job.config.get<std::string>("data.quality") == "gopher";
    options.threads = all_cores();
    options.progress = [&](const ScanProgress& p) {
      job.stop_if_due();
      meter.set_total(double(p.total_bytes));
      meter.advance(double(p.bytes - seen));
      seen = p.bytes;
    };
    const Inventory inventory = scan(folder, options, &cache);
    meter.finish();
    write_inventory(inventory, job.run.inventory());
    log_info("{}", inventory.table(shown));
    return int64_t(0);
  });
}

namespace {

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("scan", "Lists what a folder holds: kinds, languages, duplicates and near duplicates, broken files, secrets and personal\n"
                      "data, licences, and the split. What did not change since an earlier scan, also a stopped one, is not read again.",
                      "tokenwerk scan ~/documents --out runs/first");
  std::string folder, out;
  bool json = false, all = false;
  arguments.word("DIR", folder, "Folder of documents");
  arguments.option("--out", out, "Run folder", true);
  arguments.flag("--all", all, "Name every broken or duplicate file");
  arguments.flag("--json", json, "Print the inventory as JSON to standard output");
  arguments.allow_settings();
  if (!arguments.parse(words)) return ExitCode::ok;
  Config config = load_config({arguments.config_files().begin(), arguments.config_files().end()}, arguments.settings());
  config.set("data.folder", folder, "command line");
  config.set("run.dir", out, "command line");
  Job job(std::move(config), "scan", words, world);
  job.show_progress = job.show_progress && !json;
  scan_step(job, all ? std::numeric_limits<size_t>::max() - 1 : kShown);
  if (json && job.leader()) print(read_file(job.run.inventory()) + "\n");
  job.run.finish(ExitCode::ok, "");
  return ExitCode::ok;
}

}  // namespace

const Command kScan = {"scan", "what a folder of documents holds", run};

}  // namespace tw
