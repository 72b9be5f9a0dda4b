// A run folder as the commands leave it. `text` stands wherever a file may hold any text.
#pragma once
#include <map>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "src/meter/metrics_log.h"
#include "src/meter/phases.h"
#include "src/meter/status.h"
#include "tests/meter/scratch_folder.h"

namespace tw {

using Json = nlohmann::json;

// Without printing a whole page where it fails.
inline testing::AssertionResult holds(const std::string& text, std::string_view part) {
  if (text.find(part) != text.npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << '"' << part << "\" is not in the text of " << text.size() << " bytes";
}

inline size_t count_of(const std::string& text, std::string_view what) {
  size_t n = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++n;
  return n;
}

struct RunFiles {
  std::map<std::string, Json> json;
  std::string config;

  explicit RunFiles(const std::string& text = "plain") {
    json["eval.json"] = {
        {"checkpoint", text},
        {"step", 30},
        {"dtype", "fp32"},
        {"seconds", 1.5},
        {"splits",
         {{{"name", "val"},
           {"file", text},
           {"documents", 3},
           {"tokens", 900},
           {"bytes", 3000},
           {"loss", 2.5},
           {"perplexity", 12.18},
           {"bits_per_byte", 1.082},
           {"baselines",
            {{{"name", "gzip -9"}, {"bits_per_byte", 2.5}}, {{"name", "order-3 n-gram"}, {"bits_per_byte", 2.0}}}},
           {"domains",
            {{{"name", text},
              {"documents", 2},
              {"tokens", 600},
              {"bytes", 2000},
              {"loss", 2.75},
              {"perplexity", 15.6},
              {"bits_per_byte", 1.19},
              {"baselines", {{{"name", text}, {"bits_per_byte", 1.125}}}}}}}},
          {{"name", text}, {"bits_per_byte", 3.0}}}},
        {"memorisation",
         {{"prompt_tokens", 50},
          {"continuation_tokens", 50},
          {"training", {{"tested", 80}, {"recited", 6}, {"mean_match", 0.31}}},
          {"held_out", {{"tested", 40}, {"recited", 1}, {"mean_match", 0.05}}},
          {"examples", {{{"path", text}, {"prompt", text}, {"text", text}}}}}}};
    json["samples.json"] = {
        {"checkpoint", text},
        {"step", 30},
        {"temperature", 0.8},
        {"top_k", 0},
        {"top_p", 0.95},
        {"seed", 1},
        {"samples",
         {{{"prompt", text},
           {"text", text},
           {"tokens", 20},
           {"stopped", true},
           {"tokens_per_second", 99.0},
           {"nearest", {{"path", text}, {"text", text}, {"longest_match", 17}, {"overlap", 0.37}}}}}}};
    json["train.json"] = {
        {"model", {{"type", text}, {"num_hidden_layers", 2}, {"hidden_size", 64}, {"vocab_size", 512}}},
        {"parameters", 123456},
        {"ranks", 2},
        {"threads", 1},
        {"virtual_ranks", 2},
        {"deterministic", "elastic"},
        {"data_fingerprint", text},
        {"tokenizer_hash", text},
        {"inventory", text},
        {"checkpoint", text},
        {"start_seconds", 0.4},
        {"start_to_first_step_seconds", 0.7},
        {"exchange", {{"exact_seconds", 0.01}, {"off_seconds", 0.009}}},
        {"flops_per_token", 1e6},
        {"arena_bytes", 1 << 20},
        {"time", {{"predicted_seconds", 100.0}, {"predicted_after_step", 10}, {"measured_seconds", 125.0}}},
        {"command", text}};
    json["inventory.json"] = {
        {"folder", text},
        {"notes", {text}},
        {"files",
         {{{"path", text},
           {"state", "used"},
           {"reason", ""},
           {"kind", text},
           {"bytes", 100},
           {"text_bytes", 90},
           {"encoding", text},
           {"language", text},
           {"split", "train"},
           {"source", text},
           {"findings", {{"email", 3}, {text, 1}}},
           {"licence", text}},
          {{"path", text}, {"state", "broken"}, {"reason", text}, {"kind", "html"}, {"bytes", 5}},
          {{"path", text}, {"state", "near_duplicate"}, {"duplicate_of", text}, {"kind", "html"}, {"bytes", 7}}}}};
    json["tokens/tokens.json"] = {{"tokenizer_hash", text},
                                  {"inventory", text},
                                  {"splits", {{"train", {{"documents", 8}, {"tokens", 4000}, {"bytes", 12000}}}}}};
    config =
        "# All settings\n\n[training]\nsteps = 30  # command line\nseq_len = 256  # default\n\n[budget]\njoules = 600  "
        "# command line\n\n[data]\nfolder = \"a # "
        "b\"  # " +
        text.substr(0, text.find('\n')) + "\n";
  }

  void write(const ScratchFolder& folder, const std::string& text = "plain") const {
    for (const auto& [name, content] : json) folder.write(name, content.dump());
    folder.write("config.toml", config);
    RunStatus status;
    status.state = RunState::done;
    status.reason = status.command = status.host = text;
    write_status(folder.path(), status);
    PhaseLedger ledger(folder.path(), {.pue = 1.25, .price_eur_per_kwh = 0.3});
    ledger.set_meter(EnergyKind::measured, text);
    ledger.resume_training(0);
    ledger.add_training(30, 60, 300, 3000);
    ledger.add(text.substr(0, 60), 1, 1, 0);
    ledger.save();
    MetricsLog log(folder.path(), {.jsonl = true, .tensorboard = false}, 0);
    for (int step = 1; step <= 30; ++step) {
      log.log(StepMetrics{.step = step,
                          .loss = 6.f / float(step),
                          .lr = 1e-3f,
                          .grad_norm = 1,
                          .tokens = step * 100,
                          .tokens_per_second = 1500,
                          .model_flops_per_second = 1e9,
                          .joules_per_token = 0.1});
      if (step % 10 == 0) log.log(EvalMetrics{.step = step, .loss = 6.5f / float(step), .perplexity = 2});
    }
  }
};

}  // namespace tw
