// The record of a run as a page and as a few lines, and several runs beside each other.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace tw {

// Writes `page` (FOLDER/report.html where it is empty) from what lies in the run folder, and from nothing else:
// config.toml, metrics.jsonl, phases.json, eval.json, samples.json, train.json, inventory.json, tokens/tokens.json,
// status.json. One file, no network, under 1 MB whatever the run's length. What is missing or damaged is said on the
// page. Error(no_input) where FOLDER is none, else as write_file_atomically.
void write_report(const std::filesystem::path& folder, const std::filesystem::path& page = {});
std::string report_html(const std::filesystem::path& folder);

// What `factory` prints at its end: loss, perplexity, bits per byte against the baselines, speed, energy, the place of
// the report: `page`, FOLDER/report.html where it is empty.
std::string summary_table(const std::filesystem::path& folder, const std::filesystem::path& page = {});

// Runs beside each other: results, time, energy and cost, curves on common axes, the settings that differ. As a page
// like the one above, and as JSON: {"runs": [{"name", "folder", "state", "bits_per_byte", …, null = unknown}],
// "differing_settings": {"optimizer.lr": ["0.001", "0.003"]}}, values in the order of the runs, null where a run has no
// such setting. Error(config) for more than kMostRuns, Error(no_input) where a folder is none.
inline constexpr size_t kMostRuns = 24;
std::string comparison_html(const std::vector<std::filesystem::path>& folders);
std::string comparison_json(const std::vector<std::filesystem::path>& folders);

}  // namespace tw
