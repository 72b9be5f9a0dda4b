// What a run folder holds, read for the report: nothing here throws for a file that is missing or damaged.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "src/meter/report/curve.h"
#include "src/meter/report/documents.h"

namespace tw::report {

using Json = nlohmann::json;

struct Setting {
  std::string section, key, value, origin;
  std::string name() const { return section + "." + key; }
  bool is_default() const { return origin == "default"; }
};

struct RunRecord {
  std::filesystem::path folder;                       // as it was named
  std::string name;                                   // its last part
  std::vector<std::string> notes;                     // "eval.json is missing", one sentence each
  Json phases, eval, samples, train, tokens, status;  // null where there is none
  Documents documents;                                // sums of inventory.json
  std::vector<Setting> config;
  Curve loss, lr, grad_norm, tokens_per_second, joules_per_token, eval_loss;
  int64_t step_lines = 0, not_finite = 0;  // lines of steps in metrics.jsonl; of which with a loss that is no number
  double step = 0, trained_tokens = 0, skipped = 0, memory_bytes = 0, model_flops_per_second = 0;  // of the last line
  double final_loss = 0;  // as it stands there; NaN where it was not finite

  const Json* headline_split() const;  // of eval.json: "test", else "val", else the first; null where there is none
  // As it stands in config.toml, without quotes; "" where unknown.
  std::string setting(std::string_view section, std::string_view key) const;
  double number_setting(std::string_view section, std::string_view key) const;  // NaN where it is none
};

// Error(no_input) where `folder` is no folder.
RunRecord read_run(const std::filesystem::path& folder);

// The parts of read_run: metrics.jsonl, config.toml, inventory.json.
void read_metrics(RunRecord& run);
void read_config(RunRecord& run);
void read_documents(RunRecord& run);
// Text of a file, checked as far as a parser wants it. False, and a note, where it is missing or damaged.
bool read_text(RunRecord& run, const char* name, const char* without, size_t most, std::string& text);

// Values of a JSON object that need not be there: NaN and "" otherwise.
double real_of(const Json& json, const char* key);
std::string text_of(const Json& json, const char* key);
const Json& part_of(const Json& json, const char* key);  // null where absent

}  // namespace tw::report
