#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/cli/model_at_work.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/generate/generator.h"
#include "src/interop/npy.h"
#include "src/meter/baselines.h"
#include "src/meter/progress.h"
#include "src/train/evaluate.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr int kNgramOrder = 3;
constexpr int64_t kTokensAtOnce = 4096;  // of a forward pass
constexpr size_t kTextBlock = size_t(1) << 16;

nlohmann::json number(double v) { return std::isfinite(v) ? nlohmann::json(v) : nlohmann::json(nullptr); }

// The documents' text, block by block, without special tokens: the bytes that were tokenised.
template <class Feed, class End>
void each_document(const TokenFile& file, const TextTokenizer& tokenizer, Feed&& feed, End&& end) {
  std::string text;
  for (const Document& document : file.documents()) {
    for (int64_t i = document.first_token; i < document.first_token + document.tokens; ++i) {
      if (!tokenizer.is_special(file[i])) text += tokenizer.token_bytes(file[i]);
      if (text.size() >= kTextBlock) feed(text), text.clear();
    }
    feed(text), text.clear();
    end();
    stop_if_asked();
  }
}

struct EvaluatedSplit {
  std::string name;
  std::shared_ptr<const TokenFile> file;
  Evaluation evaluation;
  double bits_per_byte = kNoJoules, gzip = kNoJoules, ngram = kNoJoules;
};

nlohmann::json to_json(const EvaluatedSplit& s) {
  return {{"name", s.name},
          {"file", s.file->path().string()},
          {"documents", s.file->documents().size()},
          {"tokens", s.evaluation.tokens},
          {"bytes", s.evaluation.source_bytes},
          {"loss", number(s.evaluation.loss())},
          {"perplexity", number(s.evaluation.perplexity())},
          {"bits_per_byte", number(s.bits_per_byte)},
          {"gzip_bits_per_byte", number(s.gzip)},
          {"ngram_bits_per_byte", number(s.ngram)},
          {"ngram_order", kNgramOrder}};
}

void evaluate_files(const ModelAtWork& m, std::vector<EvaluatedSplit>& splits, const Config& config, Communicator& world,
                    const Stream& stream) {
  const int64_t T = std::min<int64_t>(m.model.max_position_embeddings, kTokensAtOnce);
  const PassSizes sizes{.batch = std::max<int64_t>(1, kTokensAtOnce / T), .seq_len = T, .dtype = m.weights.dtype(), .training = false};
  ArenaPlan plan;
  Transformer transformer(m.model, sizes, plan);
  const int losses_id = plan.add("batch", "losses", {sizes.rows()}, DType::fp32);
  const Arena arena(plan, stream.device());
  transformer.bind(arena, m.table, m.weights.view(), View{});
  for (EvaluatedSplit& s : splits) {
    s.evaluation = evaluate(transformer, *s.file, 0, arena.view(losses_id), world, stream,
                            resolve_packing(config, m.model.type, {&s.file, 1}));
    s.bits_per_byte = s.evaluation.bits_per_byte(m.model.vocab_size, s.file->size());
  }
}

// gzip and an n-gram model trained on the training tokens' text, on the same held-out text.
void add_baselines(const TextTokenizer& tokenizer, const TokenFile* training, std::vector<EvaluatedSplit>& splits, bool show) {
  int64_t total = training ? training->source_bytes() : 0;
  for (const EvaluatedSplit& s : splits) total += s.file->source_bytes();
  WorkMeter meter("baselines", double(total), true, "", {.quiet = !show});
  NgramBaseline ngram(kNgramOrder);
  if (training)
    each_document(*training, tokenizer, [&](const std::string& text) { ngram.train(text), meter.advance(double(text.size())); },
                  [&] { ngram.end_document(); });
  for (EvaluatedSplit& s : splits) {
    GzipBaseline gzip;
    const double bits_before = ngram.scored_bytes() ? ngram.bits_per_byte() * double(ngram.scored_bytes()) : 0;
    const int64_t bytes_before = ngram.scored_bytes();
    each_document(*s.file, tokenizer,
                  [&](const std::string& text) {
                    gzip.feed(text);
                    if (training) ngram.score(text);
                    meter.advance(double(text.size()));
                  },
                  [&] { ngram.end_scored_document(); });
    s.gzip = gzip.bits_per_byte();
    if (const int64_t bytes = ngram.scored_bytes() - bytes_before; training && bytes > 0)
      s.ngram = (ngram.bits_per_byte() * double(ngram.scored_bytes()) - bits_before) / double(bytes);
  }
  meter.finish();
}

std::string table(const std::vector<EvaluatedSplit>& splits) {
  const auto bits = [](double v) { return std::isfinite(v) ? fmt::format("{:.3f}", v) : std::string("-"); };
  std::string text = fmt::format("{:<24} {:>10} {:>10} {:>8} {:>11} {:>10} {:>10} {:>14}\n", "held-out file", "tokens", "bytes", "loss",
                                 "perplexity", "bits/byte", "gzip -9", "order-3 n-gram");
  for (const EvaluatedSplit& s : splits)
    text += fmt::format("{:<24} {:>10} {:>10} {:>8.4f} {:>11.2f} {:>10} {:>10} {:>14}\n", s.name, s.evaluation.tokens,
                        s.evaluation.source_bytes, s.evaluation.loss(), s.evaluation.perplexity(), bits(s.bits_per_byte),
                        bits(s.gzip), bits(s.ngram));
  text.pop_back();
  return text;
}

}  // namespace

void evaluate_step(Job& job) {
  std::vector<EvaluatedSplit> splits;
  for (const Split split : {Split::val, Split::test})
    if (fs::exists(job.run.tokens(split))) splits.push_back({name_of(split), TokenFile::open(job.run.tokens(split)), {}});
  if (splits.empty())  // no tokens of its own: those it was trained with
    for (const std::string& file : job.config.get<std::vector<std::string>>("data.val"))
      splits.push_back({fs::path(file).filename().string(), TokenFile::open(file, job.config.get<int>("data.raw_bits")), {}});
  if (splits.empty()) {
    if (job.leader()) log_warning("no held-out documents: nothing is evaluated");
    return;
  }
  PhaseTimer timer(job.phases(), "eval", job.meter, job.world);
  const double start = now_seconds();
  const ModelAtWork m(job.run.path(), dtype_of(job.config), job.config.get<std::string>("tokenizer.path"), job.stream);
  // The same checkpoint on the same tokens gives the same numbers.
  std::string key = m.origin + " " + std::string(name_of(m.weights.dtype()));
  for (const EvaluatedSplit& s : splits) key += " " + s.file->checksum();
  for (const char* setting : {"data.reset_attention_mask", "data.reset_position_ids"})
    if (job.config.get<bool>(setting)) key += std::string(" ") + setting;
  std::string earlier;
  if (job.leader() && fs::exists(job.run.evaluation())) {
    const auto json = nlohmann::json::parse(read_file(job.run.evaluation(), 1 << 24), nullptr, false);
    if (json.is_object() && json.contains("key") && json["key"].is_string()) earlier = json["key"];
  }
  if (broadcast_text(job.world, earlier, 0) == key) {
    timer.stop(0);
    if (job.leader()) log_info("evaluation is up to date");
    return;
  }
  evaluate_files(m, splits, job.config, job.world, job.stream);
  int64_t tokens = 0;
  for (const EvaluatedSplit& s : splits) tokens += s.evaluation.tokens;
  timer.stop(tokens);
  job.on_rank_0("eval", [&] {
    if (m.tokenizer) {
      std::shared_ptr<const TokenFile> training;
      if (fs::exists(job.run.tokens(Split::train))) training = TokenFile::open(job.run.tokens(Split::train));
      add_baselines(*m.tokenizer, training.get(), splits, job.show_progress);
    }
    nlohmann::json out = {{"key", key},
                          {"checkpoint", m.origin},
                          {"dtype", std::string(name_of(m.weights.dtype()))},
                          {"seconds", now_seconds() - start},
                          {"splits", nlohmann::json::array()}};
    for (const EvaluatedSplit& s : splits) out["splits"].push_back(to_json(s));
    write_file_atomically(job.run.evaluation(), out.dump(2) + "\n");
    log_info("{}", table(splits));
    return int64_t(0);
  });
}

namespace {

// Logits of given ids as .npy: (T, V) for one row, (rows, T, V) for several of one length.
void write_logits(const ModelAtWork& m, const fs::path& ids_file, const fs::path& out, const Stream& stream) {
  const auto rows = read_ids(ids_file);
  TW_CHECK(!rows.empty(), data, "{} holds no ids", ids_file.string());
  const int64_t T = int64_t(rows[0].size()), V = m.model.vocab_size;
  for (const auto& row : rows)
    TW_CHECK(int64_t(row.size()) == T, data, "{}: rows of {} and {} ids: all must be of one length", ids_file.string(), T, row.size());
  Tensor all({int64_t(rows.size()), T, V}, DType::fp32);
  Generator generator(m.model, m.table, m.weights.view(), stream);
  for (size_t r = 0; r < rows.size(); ++r) {
    const Tensor logits = generator.logits(rows[r]);
    std::copy_n(logits.as<float>(), T * V, all.as<float>() + int64_t(r) * T * V);
  }
  write_npy(out, rows.size() == 1 ? all.view().reshape({T, V}) : all.view());
  log_info("logits {} of {} in {}", rows.size() == 1 ? Shape{T, V}.str() : all.shape().str(), m.origin, out.string());
}

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("eval", "Loss, perplexity and bits per byte on held-out tokens, beside gzip -9 and an order-3 n-gram.",
                      "tokenwerk eval runs/first\n  tokenwerk eval hf-folder --data val.h5 --json\n"
                      "  tokenwerk eval hf-folder --ids ids.txt --logits logits.npy");
  std::string path, tokenizer, ids, logits;
  std::vector<std::string> data;
  bool json = false;
  arguments.word("MODEL", path, "Run, checkpoint or Hugging Face folder");
  arguments.options("--data", data, "Token file to evaluate on (may be repeated); else a run's val and test");
  arguments.option("--tokenizer", tokenizer, "Tokenizer where none lies beside the model");
  arguments.option("--ids", ids, "Rows of token ids (.npy or text): write their logits instead");
  arguments.option("--logits", logits, "The .npy file for them");
  arguments.flag("--json", json, "Print the result as JSON to standard output");
  arguments.allow_settings();
  if (!arguments.parse(words)) return ExitCode::ok;
  TW_CHECK(ids.empty() == logits.empty(), config, "--ids and --logits go together");
  Config config = load_model_config(path, arguments);

  if (data.empty() && ids.empty()) {
    TW_CHECK(fs::exists(fs::path(path) / "checkpoints"), config, "{} is no run folder: name token files with --data", path);
    config.set("run.dir", path, "command line");
    if (!tokenizer.empty()) config.set("tokenizer.path", tokenizer, "command line");
    Job job(std::move(config), "eval", words, world);
    job.show_progress = job.show_progress && !json;
    evaluate_step(job);
    if (json && job.leader() && fs::exists(job.run.evaluation())) std::puts(read_file(job.run.evaluation()).c_str());
    job.run.finish(ExitCode::ok, "");
    return ExitCode::ok;
  }
  ThreadTeam team(resolve_threads(config, world.node_size()));
  const Stream stream(team);
  const ModelAtWork m(path, dtype_of(config), tokenizer, stream);
  if (!ids.empty()) {
    if (world.rank() == 0) write_logits(m, ids, logits, stream);
    return ExitCode::ok;
  }
  std::vector<EvaluatedSplit> splits;
  for (const std::string& file : data)
    splits.push_back({fs::path(file).filename().string(), TokenFile::open(file, config.get<int>("data.raw_bits")), {}});
  evaluate_files(m, splits, config, world, stream);
  if (world.rank() != 0) return ExitCode::ok;
  if (m.tokenizer) add_baselines(*m.tokenizer, nullptr, splits, !json);
  if (json) {
    nlohmann::json out = {{"model", m.origin}, {"splits", nlohmann::json::array()}};
    for (const EvaluatedSplit& s : splits) out["splits"].push_back(to_json(s));
    std::puts(out.dump(2).c_str());
  } else {
    std::puts(table(splits).c_str());
  }
  return ExitCode::ok;
}

}  // namespace

const Command kEval = {"eval", "loss, perplexity and bits per byte on held-out tokens", run};

}  // namespace tw
