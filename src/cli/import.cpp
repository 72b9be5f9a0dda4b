#include <nlohmann/json.hpp>

#include "src/checkpoint/checkpoint.h"
#include "src/checkpoint/names.h"
#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/import_tokens.h"
#include "src/cli/job.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/interop/model_source.h"

namespace tw {
namespace {

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("import", "Makes a run folder of a Hugging Face model (GPT-2 or Llama, safetensors): checkpoint of step 0,\n"
                      "tokenizer and settings. `tokenwerk train --out RUN` goes on from it.\n"
                      "Or makes a token file of the token ids in an HDF5 file of any kind.",
                      "tokenwerk import hf-folder --out runs/imported\n"
                      "  tokenwerk import ids.h5 --dataset train/ids --tokenizer tokenizer.json --out train.h5");
  std::string path, out;
  ImportTokens tokens;
  bool json = false;
  arguments.word("PATH", path, "Folder with config.json and model.safetensors, or an HDF5 file (.h5, .hdf5, .hdf)");
  arguments.option("--out", out, "Run folder, or token file", true);
  arguments.option("--dataset", tokens.dataset, "Of an HDF5 file: where the ids lie (default: the only dataset of whole numbers)");
  arguments.option("--tokenizer", tokens.tokenizer, "Of an HDF5 file: whose ids they are");
  arguments.option("--vocab-size", tokens.vocab_size, "Of an HDF5 file: ids are below it (default: the tokenizer's)");
  arguments.option("--eod", tokens.eod, "Of an HDF5 file: the id behind each document (default: the tokenizer's)");
  arguments.flag("--json", json, "Print what was imported as JSON to standard output");
  if (!arguments.parse(words)) return ExitCode::ok;
  TW_CHECK(world.size() == 1, config, "import runs on one rank");
  if (is_hdf5_name(path)) {
    tokens.from = path, tokens.out = out;
    const ImportedTokens done = import_tokens(tokens);
    log_info("{}: {} tokens in {} documents to {}", path, done.tokens, done.documents, out);
    if (json)
      print(nlohmann::json({{"file", out}, {"tokens", done.tokens}, {"documents", done.documents}, {"vocab_size", done.vocab_size}}).dump() + "\n");
    return ExitCode::ok;
  }
  const LoadedModel loaded = load_model(path);
  Config config;
  config.set("run.dir", out, "command line");
  Job job(std::move(config), "import", words, world);
  const auto model = resolve_model(job.config, 0, GivenModel{loaded.model, loaded.origin});
  TW_CHECK(list_checkpoints(job.run.checkpoints()).empty(), cannot_create, "{} holds checkpoints already: choose another folder",
           job.run.checkpoints().string());
  CheckpointInfo info;
  info.model_json = to_json(model).dump();
  info.config_toml = job.config.to_toml();
  std::vector<TensorSlice> slices;
  for (const ParameterInfo& p : loaded.table.all())
    slices.push_back({p.name, "weight", p.shape, 0, p.count(), loaded.weights.view().flat(p.offset, p.offset + p.count())});
  if (!loaded.tokenizer.empty()) {
    const auto tokenizer = TextTokenizer::load(loaded.tokenizer);
    tokenizer->save_tokenizer_json(job.run.tokenizer());
    info.tokenizer_hash = tokenizer->hash();
  }
  const auto folder = save_checkpoint({.folder = job.run.checkpoints(), .lease = job.run.lease()}, info, slices, world);
  write_file_atomically(job.run.config(), job.config.to_toml());
  log_info("{}: {} parameters in {}{}", loaded.origin, human_count(double(loaded.table.parameter_count())), folder.string(),
           loaded.tokenizer.empty() ? "; no tokenizer lies beside it" : "");
  if (json) {
    const nlohmann::json result = {{"origin", loaded.origin},
                                   {"parameters", loaded.table.parameter_count()},
                                   {"model", nlohmann::json::parse(info.model_json)},
                                   {"checkpoint", folder.string()},
                                   {"tokenizer_hash", info.tokenizer_hash}};
    print(result.dump() + "\n");
  }
  job.run.finish(ExitCode::ok, "");
  return ExitCode::ok;
}

}  // namespace

const Command kImport = {"import", "a Hugging Face model to a run folder, or token ids in HDF5 to a token file", run};

}  // namespace tw
