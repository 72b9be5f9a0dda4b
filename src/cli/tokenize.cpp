#include "src/data/tokenize.h"

#include <cstdio>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/meter/progress.h"

namespace tw {

void tokenize_step(Job& job) {
  job.on_rank_0("tokenize", [&] {
    TW_CHECK(std::filesystem::exists(job.run.inventory()), no_input, "{} is missing: tokenwerk scan DIR --out {} first",
             job.run.inventory().string(), job.run.path().string());
    const Inventory inventory = read_inventory(job.run.inventory());
    TokenizeOptions options;
    options.out = job.run.path();
    options.tokenizer = job.config.get<std::string>("tokenizer.path");
    options.vocab_size = job.config.get<int>("tokenizer.vocab_size");
    options.eos_token = job.config.get<std::string>("tokenizer.eos_token");
    options.append_eod = job.config.get<bool>("tokenizer.append_eod");
    options.audio = job.config.get<std::string>("codec.audio");
    options.image = job.config.get<std::string>("codec.image");
    options.image_size = job.config.get<int>("codec.image_size");
    options.video_size = job.config.get<int>("codec.video_size");
    options.video_rate = job.config.get<int>("codec.video_rate");
    options.variants = job.config.get<int>("codec.variants");
    options.mask = PersonalMask(job.config.get<std::vector<std::string>>("data.mask"));
    options.threads = all_cores();
    std::optional<WorkMeter> meter;
    std::string phase;
    int64_t seen = 0;
    options.progress = [&](const TokenizeProgress& p) {
      job.stop_if_due();
      if (!meter || phase != p.phase) {
        if (meter) meter->finish();
        phase = p.phase;
        meter.emplace(phase, double(p.total_bytes), true, "", ProgressOptions{.quiet = !job.show_progress});
        seen = 0;
      }
      meter->set_total(double(p.total_bytes));
      meter->advance(double(p.bytes - seen));
      seen = p.bytes;
    };
    const TokenizeResult result = tokenize(inventory, options);
    if (meter) meter->finish();
    int64_t tokens = 0;
    log_info("tokenizer: {} tokens, {}{}", result.vocab_size, result.tokenizer.string(),
             result.tokenizer_reused ? " (kept)" : "");
    for (const Split split : kSplits) {
      const SplitTokens& s = result.of(split);
      if (s.documents == 0) continue;
      std::string text;
      if (s.text_tokens() > 0) text = fmt::format(", {} of text, {:.2f} bytes a token", human_bytes(double(s.bytes)), s.bytes_per_token());
      log_info("{:<5} {} documents, {} tokens{}{}", name_of(split), s.documents, human_count(double(s.tokens)), text, s.reused ? " (kept)" : "");
      for (const CodedTokens& c : s.coded)
        log_info("      {}: {} files, {} documents, {} tokens, {} a second and core", c.kind, c.files, c.documents, human_count(double(c.tokens)), human_count(c.tokens_per_second()));
      if (!s.reused) tokens += s.tokens;
    }
    for (const CodecMeasures& c : result.codecs)
      for (const CodecQuality& q : c.measures)
        log_info("{} codec, {} {}: {}: {:.4g} ({}: {:.4g})", c.kind, c.files == 1 ? std::string("1 file of") : fmt::format("{} files of", c.files), name_of(c.split), q.metric, q.value, q.baseline_name, q.baseline);
    for (const std::string& file : result.left_out) log_warning("left out: {}", file);
    return tokens;
  });
}

namespace {

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("tokenize", "Makes a tokenizer of the scanned documents (or takes one) and turns them into token files.",
                      "tokenwerk tokenize --out runs/first --tokenizer.vocab_size 8192");
  std::string out;
  bool json = false;
  arguments.option("--out", out, "Run folder that was scanned", true);
  arguments.flag("--json", json, "Print what was made as JSON to standard output");
  arguments.allow_settings();
  if (!arguments.parse(words)) return ExitCode::ok;
  Config config = load_config({arguments.config_files().begin(), arguments.config_files().end()}, arguments.settings());
  config.set("run.dir", out, "command line");
  Job job(std::move(config), "tokenize", words, world);
  job.show_progress = job.show_progress && !json;
  tokenize_step(job);
  if (json && job.leader()) print(read_file(job.run.path() / "tokens" / "tokens.json") + "\n");
  job.run.finish(ExitCode::ok, "");
  return ExitCode::ok;
}

}  // namespace

const Command kTokenize = {"tokenize", "documents to token files", run};

}  // namespace tw
