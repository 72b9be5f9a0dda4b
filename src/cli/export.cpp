#include <nlohmann/json.hpp>

#include "src/cli/arguments.h"
#include "src/cli/artefacts.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/cli/model_at_work.h"
#include "src/codec/kinds.h"
#include "src/core/file.h"
#include "src/core/log.h"
#include "src/interop/hf.h"
#include "src/interop/peft.h"

namespace tw {
namespace {

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("export", "Writes a model as a Hugging Face folder that transformers loads without flags; adapters are merged into its weights.",
                      "tokenwerk export runs/first --out hf-folder --dtype bf16\n"
                      "  tokenwerk export runs/tuned --adapter --out peft-folder");
  std::string path, out, dtype = "fp32", tokenizer;
  arguments.word("MODEL", path, "Run, checkpoint or Hugging Face folder");
  arguments.option("--out", out, "Folder to write", true);
  arguments.option("--dtype", dtype, "fp32, bf16 or fp16");
  arguments.option("--tokenizer", tokenizer, "Tokenizer where none lies beside the model");
  bool adapter = false, json = false;
  arguments.flag("--adapter", adapter, "Only the adapters (lora.rank), as PEFT keeps them: adapter_config.json, adapter_model.safetensors");
  arguments.flag("--json", json, "Print what was written as JSON to standard output");
  if (!arguments.parse(words)) return ExitCode::ok;
  if (world.rank() != 0) return ExitCode::ok;
  const DType type = dtype_named(dtype);
  TW_CHECK(type == DType::fp32 || type == DType::bf16 || type == DType::fp16, config, "--dtype {}: fp32, bf16 or fp16", dtype);
  ThreadTeam team(1);
  const ModelAtWork m(path, DType::fp32, tokenizer, Stream(team));
  TW_CHECK(!adapter || m.adapters, config, "--adapter: {} has no adapters, it is a whole model: leave --adapter out", m.origin);
  make_folders(out);
  HfExport options{.dtype = type};
  if (m.tokenizer) options.bos_token_id = m.tokenizer->bos_id(), options.eos_token_id = m.tokenizer->eos_id();
  if (adapter) write_peft_adapter(out, m.model, m.adapters->config, m.adapters->values.view(), type);
  else write_hf_model(out, m.model, m.table, m.weights.view(), options);
  if (m.tokenizer) {
    m.tokenizer->save_hf(out, m.model.max_position_embeddings);
    // Codebooks go along where they are there: the weights are of use without them as well.
    const std::filesystem::path from = codecs_beside(m.tokenizer_path), to = std::filesystem::path(out) / "codecs";
    const IdSpace ids(*m.tokenizer);
    for (const CodecRange& range : ids.ranges()) {
      const CodecKind* kind = codec_kind(range.name);
      if (!kind || !std::filesystem::exists(from / kind->codebook)) continue;
      make_folders(to);
      kind->load(from / kind->codebook)->save(to / kind->codebook);
    }
  }
  if (json) {
    const nlohmann::json result = {{"origin", m.origin},
                                   {"parameters", (adapter ? adapter_table(m.model, m.adapters->config) : m.table).parameter_count()},
                                   {"dtype", name_of(type)},
                                   {"folder", out},
                                   {"tokenizer_hash", m.tokenizer ? m.tokenizer->hash() : ""}};
    print(result.dump() + "\n");
  }
  log_info("{} written to {}{}", adapter ? "the adapters of " + m.origin : m.origin, out, m.tokenizer ? "" : "; no tokenizer lies beside the model");
  return ExitCode::ok;
}

}  // namespace

const Command kExport = {"export", "a model to a Hugging Face folder", run};

}  // namespace tw
