// The record of a run as a page and as a few lines.
#pragma once
#include <filesystem>
#include <string>

namespace tw {

// Writes FOLDER/report.html from what lies in the run folder, and from nothing else: config.toml, metrics.jsonl,
// phases.json, eval.json, samples.json, train.json, inventory.json, tokens/tokens.json, status.json. One file, no
// network, under 1 MB. What is missing or damaged is said on the page. Error(no_input) where FOLDER is none, else as
// write_file_atomically.
void write_report(const std::filesystem::path& folder);
std::string report_html(const std::filesystem::path& folder);

// What `factory` prints at its end: loss, perplexity, bits per byte against the baselines, speed, energy, the report's
// place.
std::string summary_table(const std::filesystem::path& folder);

}  // namespace tw
