// A run folder's files, read for the report and by other commands. Each part of the input is a line with the file's
// name, then its content.
#include "src/meter/metrics_log.h"
#include "src/meter/phases.h"
#include "src/meter/report.h"
#include "src/meter/status.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(run_record) {
  constexpr std::string_view kFiles[] = {"metrics.jsonl", "config.toml",    "eval.json",
                                         "samples.json",  "phases.json",    "train.json",
                                         "status.json",   "inventory.json", "tokens/tokens.json"};
  static const Folder folder;
  static const bool made = std::filesystem::create_directory(folder.path() / "tokens");
  use(&made);
  std::error_code absent;
  for (const auto name : kFiles) std::filesystem::remove(folder.path() / name, absent);
  while (!input.empty()) {
    const std::string_view part = next_part(input);
    const size_t line = std::min(part.find('\n'), part.size());
    for (const auto name : kFiles)
      if (part.substr(0, line) == name) folder.write(std::string(name), part.substr(std::min(line + 1, part.size())));
  }
  const std::string html = report_html(folder.path());
  expect(html.size() < size_t(1) << 20, "a page is less than 1 MiB");
  use(summary_table(folder.path()).data());
  use(comparison_html({folder.path(), folder.path()}).data());
  try {
    read_status(folder.path());
  } catch (const Error&) {
  }
  // What a run that goes on makes of them.
  if (std::filesystem::exists(folder.path() / "phases.json", absent)) {
    PhaseLedger ledger(folder.path(), {});
    ledger.resume_training(3);
    ledger.add_training(5, 1, 10, 100);
    ledger.save();
  }
  if (std::filesystem::exists(folder.path() / "metrics.jsonl", absent)) {
    MetricsLog log(folder.path(), {.jsonl = true, .tensorboard = false}, 3);
    log.log(StepMetrics{.step = 4});
  }
}
