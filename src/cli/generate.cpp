#include <algorithm>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "src/cli/arguments.h"
#include "src/cli/artefacts.h"
#include "src/cli/command.h"
#include "comm/self.h"
#include "src/cli/compute.h"
#include "src/cli/job.h"
#include "src/cli/model_at_work.h"
#include "src/codec/kinds.h"
#include "src/codec/text/chat_template.h"
#include "src/core/file.h"
#include "src/core/log.h"
#include "src/core/utf8.h"
#include "src/data/token_text.h"
#include "src/generate/generator.h"
#include "src/generate/nearest_passage.h"
#include "src/interop/npy.h"
#include "src/meter/progress.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr int kHeldOutPrompts = 4;        // samples of a run without prompts of its own
constexpr int64_t kHeldOutTokens = 24;    // of such a prompt
constexpr int64_t kLongestQuestion = 256; // tokens, of a conversation as a prompt
constexpr size_t kCaptions = 100;         // for which documents of a kind are made
constexpr size_t kShown = 40;             // documents of a kind that the report looks for

GenerateOptions generate_options(const Config& config, int32_t stop_id) {
  GenerateOptions o;
  o.sampling.temperature = config.get<double>("generate.temperature");
  o.sampling.top_k = config.get<int64_t>("generate.top_k");
  o.sampling.top_p = config.get<double>("generate.top_p");
  o.sampling.seed = config.get<uint64_t>("generate.seed");
  o.sampling.check();
  o.max_new_tokens = config.get<int64_t>("generate.max_new_tokens");
  o.stop_id = stop_id;
  return o;
}

Quantization quantization_of(const Config& config) { return quantization_named(config.get<std::string>("generate.quantization")); }

int32_t eos_id(const ModelAtWork& m, const Config& config) {
  if (!m.tokenizer) return -1;
  if (m.tokenizer->eos_id() >= 0) return m.tokenizer->eos_id();
  return m.tokenizer->special_id(config.get<std::string>("tokenizer.eos_token")).value_or(-1);
}

// A text prompt as ids, begun as the tokenizer's file asks for; an empty one is the token that begins texts.
std::vector<int32_t> prompt_ids(const ModelAtWork& m, const std::string& text, int32_t eos) {
  const TextTokenizer& t = m.text();
  std::vector<int32_t> ids = t.encode(text, {.add_bos = t.adds_bos()});
  if (ids.empty()) ids.push_back(t.bos_id() >= 0 ? t.bos_id() : eos);
  TW_CHECK(ids[0] >= 0, config, "the prompt is empty, and the tokenizer has no token that begins a text");
  return ids;
}

struct Sample {
  std::string prompt;
  std::vector<int32_t> ids;
  Generation generation;
  int32_t stop_id = -2;  // another one than the options'
};

// What a user says to an assistant, up to where the assistant begins.
Sample chat_sample(const ModelAtWork& m, const std::string& system, const std::string& text) {
  const ChatTemplate chat(m.text());
  Sample s{.prompt = text, .ids = {}, .generation = {}, .stop_id = chat.end_id()};
  if (m.text().adds_bos() && m.text().bos_id() >= 0) s.ids.push_back(m.text().bos_id());
  for (const auto& [role, said] : {std::pair("system", &system), std::pair("user", &text)}) {
    if (said->empty() && said == &system) continue;
    m.text().encode(chat.begin(role, s.ids) + *said, {}, s.ids);
    chat.end(s.ids);
  }
  m.text().encode(chat.begin("assistant", s.ids), {}, s.ids);
  return s;
}

GenerateOptions options_of(const Sample& s, GenerateOptions options) {
  if (s.stop_id != -2 && options.stop_id != -1) options.stop_id = s.stop_id;
  return options;
}

nlohmann::json to_json(const Sample& s, const TextTokenizer& t) {
  return {{"prompt", repaired_utf8(s.prompt)},
          {"text", repaired_utf8(t.decode(s.generation.ids, true))},
          {"tokens", s.generation.ids.size()},
          {"stopped", s.generation.stopped},
          {"tokens_per_second", s.generation.token_seconds > 0 ? double(s.generation.ids.size()) / s.generation.token_seconds : 0}};
}

nlohmann::json samples_json(const ModelAtWork& m, const Config& config, const std::vector<Sample>& samples) {
  nlohmann::json out = {{"checkpoint", m.origin},
                        {"temperature", config.get<double>("generate.temperature")},
                        {"top_k", config.get<int64_t>("generate.top_k")},
                        {"top_p", config.get<double>("generate.top_p")},
                        {"seed", config.get<int64_t>("generate.seed")},
                        {"dtype", m.precision()},
                        {"samples", nlohmann::json::array()}};
  for (const Sample& s : samples) out["samples"].push_back(to_json(s, m.text()));
  return out;
}

// Whether a run was trained on any text but captions; so it is taken where its tokens are not there.
bool knows_text(const fs::path& train_tokens, const TextTokenizer& tokenizer) {
  return !fs::exists(train_tokens) || IdSpace(tokenizer).ranges().empty() || TokenFile::open(train_tokens)->source_bytes() > 0;
}

// Starts of held-out documents, from different ones where there are several.
std::vector<Sample> held_out_prompts(const Job& job, const ModelAtWork& m) {
  std::vector<Sample> samples;
  std::optional<ChatTemplate> chat;
  if (ChatTemplate::known_to(m.text())) chat.emplace(m.text());
  for (const Split split : {Split::test, Split::val}) {
    if (!fs::exists(job.run.tokens(split))) continue;
    const auto file = TokenFile::open(job.run.tokens(split));
    const auto& documents = file->documents();
    const size_t stride = std::max<size_t>(1, documents.size() / kHeldOutPrompts);
    for (size_t d = 0; d < documents.size() && samples.size() < size_t(kHeldOutPrompts); d += stride) {
      if (documents[d].bytes == 0) continue;  // of another kind
      Sample s;
      if (const auto& ranges = file->untrained(); chat) {  // of a conversation what is asked first
        const auto asked = std::find_if(ranges.begin(), ranges.end(), [&](const TokenFile::Range& r) { return r.begin == documents[d].first_token; });
        const int64_t end = asked == ranges.end() ? 0 : asked->end;
        for (int64_t i = documents[d].first_token; i < end && end - documents[d].first_token <= kLongestQuestion; ++i) s.ids.push_back((*file)[i]);
        if (!s.ids.empty()) {
          s.prompt = m.text().decode(s.ids);
          s.stop_id = chat->end_id();
          samples.push_back(std::move(s));
          continue;
        }
      }
      for (int64_t i = 0; i < std::min(kHeldOutTokens, documents[d].tokens); ++i) {
        const int32_t id = (*file)[documents[d].first_token + i];
        if (m.text().is_special(id)) break;
        s.ids.push_back(id);
      }
      if (s.ids.empty()) continue;
      s.prompt = m.text().decode(s.ids);
      samples.push_back(std::move(s));
    }
  }
  return samples;
}

}  // namespace

namespace {

// Beside each sample the passage of the training text that is nearest to it.
void add_nearest(nlohmann::json& out, const ModelAtWork& m, const TokenFile& training, const std::vector<Sample>& samples, ThreadTeam& team,
                 bool show) {
  std::vector<std::string> texts;
  for (const Sample& s : samples) texts.push_back(m.text().decode(s.generation.ids, true));
  const PassageSearch search(std::move(texts));
  std::vector<PassageSearch::Reader> readers(size_t(team.size()), PassageSearch::Reader(search));
  WorkMeter meter("nearest passages", double(training.source_bytes()), true, "", {.quiet = !show});
  const auto& documents = training.documents();
  constexpr size_t kAtOnce = 1024;  // documents between two looks at the signals
  for (size_t begin = 0; begin < documents.size(); begin += kAtOnce) {
    const size_t count = std::min(kAtOnce, documents.size() - begin);
    team.run(int64_t(count), [&](int64_t i, int thread) {
      const size_t d = begin + size_t(i);
      PassageSearch::Reader& reader = readers[size_t(thread)];
      reader.begin_document(int64_t(d));
      read_token_text(training, documents[d], m.text(), [&](std::string_view piece) { reader.feed(piece); });
      reader.end_document();
    });
    for (size_t d = begin; d < begin + count; ++d) meter.advance(double(documents[d].bytes));
    stop_if_asked();
  }
  meter.finish();
  const std::vector<NearestPassage> nearest = search.result(readers);
  for (size_t i = 0; i < nearest.size(); ++i) {
    const NearestPassage& n = nearest[i];
    out["samples"][i]["nearest"] = {{"path", n.document < 0 ? "" : documents[size_t(n.document)].path},
                                    {"text", n.text},
                                    {"longest_match", n.longest_match},
                                    {"overlap", n.overlap}};
  }
}

// The files of a kind that a run was trained on.
std::vector<CaptionedFile> training_files(const fs::path& inventory_file, std::string_view kind) {
  std::vector<CaptionedFile> files;
  if (!fs::exists(inventory_file)) return files;
  const Inventory inventory = read_inventory(inventory_file);
  for (const ScannedFile& f : inventory.files)
    if (f.state == FileState::used && f.split == Split::train && f.kind == kind && fs::exists(inventory.folder / f.path)) files.push_back({inventory.folder / f.path, f.caption});
  return files;
}

nlohmann::json to_json(const SampleJudgement& judgement) {
  nlohmann::json out = {{"measures", nlohmann::json::array()}, {"histograms", nlohmann::json::array()}};
  for (const CodecQuality& q : judgement.measures)
    out["measures"].push_back({{"metric", q.metric}, {"value", q.value}, {"baseline_name", q.baseline_name}, {"baseline", q.baseline}});
  for (const SampleHistogram& h : judgement.histograms)
    out["histograms"].push_back({{"title", h.title}, {"unit", h.unit}, {"edges", h.edges}, {"samples", h.samples}, {"training", h.training}});
  return out;
}

void say(const SampleJudgement& judgement) {
  for (const CodecQuality& q : judgement.measures) log_info("  {}: {:.4g} ({}: {:.4g})", q.metric, q.value, q.baseline_name, q.baseline);
}

// What documents of other kinds begin behind: nothing, as they do in the training files.
std::vector<int32_t> before_document(int32_t eos) { return eos >= 0 ? std::vector<int32_t>{eos} : std::vector<int32_t>{}; }

// Documents of each kind the model knows beside text, judged.
int64_t generate_kinds(Job& job, const ModelAtWork& m, Generator& generator, int32_t eos, nlohmann::json& out) {
  const int64_t count = job.config.get<int64_t>("generate.documents");
  int64_t tokens = 0;
  if (count == 0 || IdSpace(m.text()).ranges().empty()) return 0;
  const CodecSet codecs = codecs_of(m);
  for (const CodecRange& range : codecs.ids().ranges()) {
    const CodecKind& kind = *codec_kind(range.name);
    WorkMeter meter("generate " + range.name, double(count), false, "", {.quiet = !job.show_progress});
    const Artefacts made = make_artefacts(generator, codecs.of(range), range, caption_prompts(m, job.run.tokens(Split::train), range, before_document(eos), kCaptions),
                                          generate_options(job.config, -1), job.config.get<bool>("generate.guided"), count, 0,
                                          [&] { meter.advance(1); });
    meter.finish();
    tokens += made.tokens;
    const fs::path path = job.run.artefacts(range.name).string() + (kind.lines ? "." + std::string(kind.artefact) : "");
    make_folders(path.parent_path());
    const std::vector<fs::path> files = write_artefacts(made, kind, path);
    log_info("{}: {} documents, {} tokens: {}", range.name, made.documents.size(), made.tokens, path.string());
    nlohmann::json entry = {{"kind", range.name}, {"path", fs::relative(path, job.run.path()).string()}, {"documents", made.documents.size()},
                            {"tokens", made.tokens}, {"unfinished", made.unfinished}, {"artefact", kind.artefact}, {"lines", kind.lines}, {"shown", nlohmann::json::array()}};
    for (size_t i = 0; i < std::min(kShown, files.size()); ++i)
      entry["shown"].push_back({{"path", fs::relative(files[i], job.run.path()).string()}, {"caption", repaired_utf8(made.documents[i].caption)}});
    if (kind.judge) {
      const SampleJudgement judgement = kind.judge(made.documents, training_files(job.run.inventory(), range.name));
      entry.update(to_json(judgement));
      say(judgement);
    }
    out["kinds"].push_back(std::move(entry));
  }
  return tokens;
}

}  // namespace

void generate_step(Job& job) {
  job.on_rank_0("generate", [&] {
    const ModelAtWork m(job.run.path(), dtype_of(job.config), job.tokenizer(), job.stream,
                        quantization_of(job.config));
    const int32_t eos = eos_id(m, job.config);
    const GenerateOptions options = generate_options(job.config, eos);
    std::vector<Sample> samples;
    for (const std::string& text : job.config.get<std::vector<std::string>>("generate.prompts"))
      samples.push_back({text, prompt_ids(m, text, eos), {}});
    const bool text = knows_text(job.run.tokens(Split::train), m.text());
    if (samples.empty() && text) samples = held_out_prompts(job, m);
    if (samples.empty() && text) samples.push_back({"", prompt_ids(m, "", eos), {}});
    Generator generator(m.model, m.table, m.inference_weights(), job.stream);
    int64_t tokens = 0;
    for (size_t i = 0; i < samples.size(); ++i) {
      stop_if_asked();
      samples[i].generation = generator.run(samples[i].ids, options_of(samples[i], options), int64_t(i), {});
      tokens += int64_t(samples[i].generation.ids.size());
    }
    nlohmann::json out = samples_json(m, job.config, samples);
    tokens += generate_kinds(job, m, generator, eos, out);
    if (fs::exists(job.run.tokens(Split::train)))
      add_nearest(out, m, *TokenFile::open(job.run.tokens(Split::train)), samples, job.team, job.show_progress);
    write_file_atomically(job.run.samples(), out.dump(2) + "\n");
    log_info("{} samples, {} tokens: {}", samples.size(), tokens, job.run.samples().string());
    return tokens;
  });
}

namespace {

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("generate", "Continues prompts. Text goes to standard output as it is made; --as makes documents of another kind.",
                      "tokenwerk generate runs/first --prompt 'The package manager' -n 100 --temperature 0.7\n"
                      "  tokenwerk generate hf-folder --ids ids.txt --greedy -n 24 --print-ids\n"
                      "  tokenwerk generate runs/first --prompt 'The package manager' --quantization int8\n"
                      "  tokenwerk generate runs/support --chat --prompt 'My pump does not start'\n"
                      "  tokenwerk generate runs/drugs --as smi --samples 1000 --out molecules.smi\n"
                      "  tokenwerk generate runs/drives --as csv --continue today.csv --samples 20 -n 500 --out forecasts\n"
                      "  tokenwerk generate runs/signs --as png --prompt 'a stop sign' --samples 8 --out signs");
  std::string path, tokenizer, ids_file, as, out_path, system, go_on;
  std::vector<std::string> prompts;
  bool json = false, print_ids = false, greedy = false, ignore_eos = false, nearest = false, chat = false;
  int64_t samples_each = 1;
  std::string temperature, top_k, top_p, seed, count, quantization;
  arguments.word("MODEL", path, "Run, checkpoint or Hugging Face folder");
  arguments.options("-p,--prompt", prompts, "Text to go on from (may be repeated); - reads standard input");
  arguments.flag("--chat", chat, "Prompts are what a user says; the model answers, where it was trained on conversations");
  arguments.option("--system", system, "With --chat: what the assistant is told before");
  arguments.option("--ids", ids_file, "Rows of token ids to go on from (.npy or text)");
  arguments.option("-n,--max-new-tokens", count, "Longest continuation (generate.max_new_tokens)");
  arguments.option("--temperature", temperature, "generate.temperature");
  arguments.option("--top-k", top_k, "generate.top_k");
  arguments.option("--top-p", top_p, "generate.top_p");
  arguments.option("--seed", seed, "generate.seed");
  arguments.option("--samples", samples_each, "Continuations of each prompt");
  arguments.option("--quantization", quantization, "none or int8: weights of 8 bits, read in half the time of bf16; on a CPU (generate.quantization)");
  arguments.option("--as", as, "Documents of another kind that the model was trained on, by name or extension: molecule or smi; txt = text, md = pages of text in which others stand");
  arguments.option("--continue", go_on, "With --as: a file of the kind to go on from: speech, a table of measurements");
  arguments.option("--out", out_path, "Where they go: a file, or of kinds that are a file each a folder (default: standard output)");
  arguments.flag("--greedy", greedy, "Always the most likely token");
  arguments.flag("--ignore-eos", ignore_eos, "Go on behind the token that ends a text");
  arguments.option("--tokenizer", tokenizer, "Tokenizer where none lies beside the model");
  arguments.flag("--print-ids", print_ids, "Print token ids, one row a sample, instead of text");
  arguments.flag("--nearest", nearest, "Name the passage of the run's training text that each sample is nearest to");
  arguments.flag("--json", json, "Print the samples as JSON");
  arguments.allow_settings();
  arguments.allow_device();
  if (!arguments.parse(words)) return ExitCode::ok;
  Config config = load_model_config(path, arguments);
  const auto set = [&](const char* key, const std::string& text) {
    if (!text.empty()) config.set_text(key, text, "command line");
  };
  set("generate.max_new_tokens", count), set("generate.temperature", greedy ? "0" : temperature);
  set("generate.top_k", top_k), set("generate.top_p", top_p), set("generate.seed", seed), set("generate.quantization", quantization);
  TW_CHECK(system.empty() || chat, config, "--system goes with --chat");
  TW_CHECK(!chat || (as.empty() && ids_file.empty()), config, "--chat answers in text: not with --as or --ids");
  TW_CHECK(go_on.empty() || !as.empty(), config, "--continue goes with --as: say of which kind {} is", go_on);
  TW_CHECK(samples_each >= 1, config, "--samples {}: at least one", samples_each);
  if (world.rank() != 0) return ExitCode::ok;  // one rank is enough

  std::shared_ptr<const TokenFile> training;
  if (nearest) {
    const fs::path file = fs::path(path) / "tokens" / "train.h5";
    TW_CHECK(fs::exists(file), no_input, "--nearest looks into the training text of a run: there is no {}", file.string());
    training = TokenFile::open(file);
  }
  const std::unique_ptr<Communicator> alone = make_self_communicator();
  Compute compute(config, *alone);
  ThreadTeam& team = compute.team();
  const Stream stream = compute.stream();
  const ModelAtWork m(path, dtype_of(config), tokenizer, stream, quantization_of(config));
  const int32_t eos = eos_id(m, config);
  const GenerateOptions options = generate_options(config, ignore_eos ? -1 : eos);
  std::vector<Sample> samples;
  if (!ids_file.empty())
    for (auto& row : read_ids(ids_file)) samples.push_back({"", row, {}});
  if (prompts.empty()) prompts = ids_file.empty() ? config.get<std::vector<std::string>>("generate.prompts") : prompts;
  for (std::string text : prompts) {
    if (text == "-") text.assign(std::istreambuf_iterator<char>(std::cin), {});
    samples.push_back(chat ? chat_sample(m, system, text) : Sample{text, prompt_ids(m, text, eos), {}});
  }
  TW_CHECK(!chat || !samples.empty(), config, "--chat: say with --prompt what the user says");
  if (samples.empty()) samples.push_back({"", prompt_ids(m, "", eos), {}});
  if (!print_ids) (void)m.text();

  Generator generator(m.model, m.table, m.inference_weights(), stream);
  if (as == "md") {
    TW_CHECK(!out_path.empty() && go_on.empty(), config, "--as md makes pages with the files that stand in them: say with --out in which folder");
    const CodecSet codecs = codecs_of(m);
    int64_t tokens = 0, pages = 0;
    for (const Sample& s : samples)
      for (int64_t i = 0; i < samples_each; ++i) {
        const Generation g = generator.run(s.ids, options, pages, [](int32_t) { stop_if_asked(); });
        std::vector<int32_t> ids = s.ids;
        ids.insert(ids.end(), g.ids.begin(), g.ids.end());
        tokens += int64_t(g.ids.size());
        write_page(m.text(), codecs, ids, fmt::format("{:04}", ++pages), out_path);
      }
    log_info("{} pages, {} tokens: {}", pages, tokens, out_path);
    return ExitCode::ok;
  }
  if (!as.empty() && as != "txt") {
    const CodecSet codecs = codecs_of(m);
    const CodecRange* range = codecs.range_named(as);
    if (!range) {
      std::string known;
      for (const CodecRange& r : codecs.ids().ranges()) known += fmt::format("{}{} ({})", known.empty() ? "" : ", ", r.name, codec_kind(r.name)->artefact);
      TW_FAIL(config, "--as {}: the model of {} knows {}", as, m.origin, known);
    }
    const CodecKind& kind = *codec_kind(range->name);
    TW_CHECK(kind.lines || !out_path.empty(), config, "--as {} makes a file of each: say with --out in which folder", as);
    const std::vector<int32_t> beginning = go_on.empty() ? std::vector<int32_t>() : beginning_of(codecs.of(*range), go_on);
    Artefacts all;
    for (const Sample& s : samples) {
      std::vector<ArtefactPrompt> behind;
      if (!go_on.empty() && s.prompt.empty() && s.ids.size() <= 1) {
        behind.push_back({.caption = "", .ids = before_document(eos), .beginning = beginning});
      } else if (s.prompt.empty() && s.ids.size() <= 1) {
        behind = caption_prompts(m, fs::path(path) / "tokens" / "train.h5", *range, before_document(eos), kCaptions);
      } else {
        ArtefactPrompt p{.caption = s.prompt, .ids = before_document(eos), .beginning = beginning};
        p.ids.insert(p.ids.end(), s.ids.begin(), s.ids.end());
        behind.push_back(std::move(p));
      }
      Artefacts made = make_artefacts(generator, codecs.of(*range), *range, behind, options, config.get<bool>("generate.guided"), samples_each, int64_t(all.documents.size()), {});
      if (out_path.empty())
        for (const CaptionedDocument& document : made.documents) print(document.bytes);
      std::move(made.documents.begin(), made.documents.end(), std::back_inserter(all.documents));
      all.tokens += made.tokens, all.unfinished += made.unfinished, all.seconds += made.seconds;
    }
    flush_output();
    if (!out_path.empty()) write_artefacts(all, kind, out_path);
    log_info("{} documents, {} tokens, {:.1f} a second{}", all.documents.size(), all.tokens, all.seconds > 0 ? double(all.tokens) / all.seconds : 0.0,
             all.unfinished ? fmt::format("; {} were not at their end after {} tokens", all.unfinished, options.max_new_tokens) : "");
    if (kind.judge) say(kind.judge(all.documents, training_files(fs::path(path) / "inventory.json", range->name)));
    return ExitCode::ok;
  }
  TW_CHECK(out_path.empty(), config, "--out is where documents of --as go");
  const bool stream_text = !json && !print_ids;
  std::vector<Sample> done;
  int64_t tokens = 0;
  double seconds = 0;
  for (size_t p = 0; p < samples.size(); ++p)
    for (int64_t s = 0; s < samples_each; ++s) {
      const bool several = samples.size() * size_t(samples_each) > 1;
      if (stream_text && several) std::printf("--- %zu\n", done.size() + 1);
      if (stream_text && !chat) print(samples[p].prompt), flush_output();
      Sample sample = samples[p];
      sample.generation = generator.run(sample.ids, options_of(sample, options), int64_t(done.size()), [&](int32_t id) {
        stop_if_asked();
        if (!stream_text) return;
        if (id == sample.stop_id) return;
        print(m.text().token_bytes(id));
        flush_output();
      });
      if (stream_text) print("\n");
      if (print_ids) {
        std::string row;
        for (const int32_t id : sample.generation.ids) row += fmt::format("{} ", id);
        if (!row.empty()) row.pop_back();
        print(row + "\n");
      }
      tokens += int64_t(sample.generation.ids.size());
      seconds += sample.generation.token_seconds;
      done.push_back(std::move(sample));
    }
  nlohmann::json out;
  if (json || nearest) out = samples_json(m, config, done);  // wants a tokenizer, which --print-ids does without
  if (nearest) add_nearest(out, m, *training, done, team, false);
  if (json) print(out.dump(2) + "\n");
  for (size_t i = 0; nearest && !json && i < done.size(); ++i) {
    const auto& n = out["samples"][i]["nearest"];
    const std::string text = n["text"];
    log_info("sample {}: {:.0f} % of its runs of eight bytes stand in the training text; the longest equal part, {} bytes, in {}{}", i + 1,
             100 * n["overlap"].get<double>(), n["longest_match"].get<int64_t>(), text.empty() ? "none" : n["path"].get<std::string>(),
             text.empty() ? "" : ":\n" + text);
  }
  flush_output();
  log_info("{} tokens, {:.1f} a second", tokens, seconds > 0 ? double(tokens) / seconds : 0.0);
  return ExitCode::ok;
}

}  // namespace

const Command kGenerate = {"generate", "text from a model", run};

}  // namespace tw
