#include <algorithm>
#include <cmath>

#include "src/checkpoint/checkpoint.h"
#include "src/core/format.h"

namespace tw {

std::string describe(const CheckpointReport& r) {
  std::string text = fmt::format("checkpoint  {}\nstep        {}\nattempt     {}\nsamples     {}\ntokens      {}\n",
                                 r.folder.string(), r.info.step, r.attempt, r.info.samples, r.info.tokens);
  text += fmt::format("energy      {}\n", r.info.joules < 0 ? "no meter" : human_joules(r.info.joules));
  text += fmt::format("written     {} by {}\n", r.written, r.build);
  if (std::isfinite(r.info.validation_loss)) text += fmt::format("held out    loss {:.6g}\n", r.info.validation_loss);
  const auto line = [&](const char* key, const std::string& value) {
    if (!value.empty()) text += fmt::format("{:<11} {}\n", key, value);
  };
  line("tokenizer", r.info.tokenizer_hash);
  line("data", r.info.data_fingerprint);
  line("model", r.info.model_json);
  line("adapters", r.info.adapter_json);
  line("base", r.info.base_hash);

  text += fmt::format("\n{} files\n", r.shards.size());
  for (const auto& s : r.shards)
    text += fmt::format("  {:<28} {:>12}  {}\n", s.file, human_bytes(double(s.bytes)), s.ok ? "ok" : "DAMAGED");
  size_t width = 0;
  int64_t numbers = 0;
  for (const auto& t : r.tensors) {
    width = std::max(width, t.name.size());
    if (t.slot == "weight") numbers += t.shape.count();
  }
  text += fmt::format("\n{} tensors, {} weights\n", r.tensors.size(), human_count(double(numbers)));
  for (const auto& t : r.tensors)
    text += fmt::format("  {:<{}}  {:<7} {:<18} {} {}\n", t.name, width, t.slot, t.shape.str(),
                        t.pieces == 1 ? "1 piece" : fmt::format("{} pieces", t.pieces), t.ok ? "" : " DAMAGED");
  text += "\n";
  for (const std::string& sentence : r.damage) text += sentence + "\n";
  if (r.ok()) text += r.verified ? "Every checksum matches.\n" : "MANIFEST and file sizes are right; no tensor was read.\n";
  return text;
}

}  // namespace tw
