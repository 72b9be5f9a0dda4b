#include "src/config/schema.h"

#include <algorithm>
#include <array>
#include <vector>

namespace tw {
namespace {

constexpr double kHuge = 1e15;  // larger whole numbers would not be exact as double
using enum KeyType;

constexpr ConfigSection kSections[] = {
    {"run", "The run folder: the full record of one run."},
    {"data", "What is trained on."},
    {"tokenizer", "How text becomes tokens."},
    {"codec", "How files of other kinds become tokens (docs/modalities.md)."},
    {"model", "The transformer. Names as in Hugging Face's config.json."},
    {"training", "Length of the run, batch and precision."},
    {"optimizer", "AdamW and the rule that leaves out bad steps."},
    {"lora", "Low-rank adapters of a pretrained model (docs/fine_tuning.md)."},
    {"lr_scheduler", "The learning rate over the run."},
    {"parallelism", "How the work is spread over MPI ranks."},
    {"checkpoint", "Saving and going on."},
    {"metrics", "What is written while training."},
    {"watchdog", "Ranks that are lost, stopped or hang (docs/watchdog.md)."},
    {"eval", "Held-out loss, and what the model recites."},
    {"generate", "Text made by the model."},
    {"energy", "Joules, cost and CO2."},
    {"budget", "Where a run stops, counted over all its starts."},
    {"integrity", "Whether numbers are still what the program made of them."},
    {"debug", "Repeatability."},
};

// clang-format off
constexpr ConfigKey kKeys[] = {
    {"run.dir", text, "", 0, 0, "", "Folder of the run: resolved configuration, metrics, checkpoints, report. The commands' --out sets it."},
    {"run.device", choice, "auto", 0, 0, "auto cpu cuda cuda-shared", "Where the model is computed; auto = cuda where every rank has a GPU of its own, else cpu; cuda-shared = several ranks may use one GPU, and their gradients go through host memory. The commands' --device sets it."},

    {"data.train", text_list, "[]", 0, 0, "", "Token files to train on."},
    {"data.blend", text_list, "[]", 0, 0, "", "Weights of the files of data.train, \"0.7 0.3\"; more entries begin later in the run, at a step or a share of it: \"1000: 0.5 0.5\", \"75%: 0.2 0.8\". Empty = each file as often as it has samples."},
    {"data.val", text_list, "[]", 0, 0, "", "Token files of held-out text; empty = no evaluation."},
    {"data.raw_bits", integer, "0", 0, 32, "", "Token files without header hold little-endian ids of 16 or 32 bits; 0 = told by the name (.u16, .u32, else our HDF5 format)."},
    {"data.sample_stride", integer, "0", 0, kHuge, "", "Tokens from one sample's start to the next; 0 = training.seq_len."},
    {"data.shuffle", boolean, "true", 0, 0, "", "Each epoch in its own order; false = the order of the files."},
    {"data.reset_attention_mask", boolean, "false", 0, 0, "", "Attention stays within a document; evaluation follows. Unsaid, it does where there are conversations."},
    {"data.reset_position_ids", boolean, "false", 0, 0, "", "Learned positions (gpt2) begin again at each document; evaluation follows. Unsaid, they do where there are conversations."},
    {"data.eod_mask_loss", boolean, "false", 0, 0, "", "The first token of a document, which no text before it tells, is not trained on; evaluation counts it."},
    {"data.eod_id", integer, "-1", -1, 1 << 24, "", "Token that ends a document, where the token files do not say it; -1 = as they say."},
    {"data.split", text, "0.9,0.05,0.05", 0, 0, "", "Shares of train, val and test when a folder is scanned; files are dealt by the hash of their content."},
    {"data.near_duplicates", real, "0.8", 0, 1, "", "Similarity of words from which on files of a folder count as near duplicates, of which the first is kept (MinHash, Jaccard of runs of five words), 0.5 to 1; 0 = not looked for."},
    {"data.languages", text_list, "[]", 0, 0, "", "Languages of documents that are used, as ISO 639-1 codes: [\"de\", \"en\"]; unknown stands for what is not certain; [] = all."},
    {"data.quality", choice, "none", 0, 0, "none gopher", "gopher: leave out documents that do not read like text: few words, few letters, lists alone, lines that repeat (Rae et al. 2021, A1.1)."},
    {"data.kinds", text_list, "[\"all\"]", 0, 0, "", "Kinds of files beside text that become tokens of their own: audio, image, molecule, series, or all; [] = none, tables are text."},
    {"data.mask", text_list, "[]", 0, 0, "", "What is replaced in documents before they become tokens: email, iban, phone, card, key, or all."},
    {"data.folder", text, "", 0, 0, "", "Folder of documents to scan. The commands' DIR sets it."},

    {"tokenizer.path", text, "", 0, 0, "", "tokenizer.json or SentencePiece .model to use; empty = train one from the documents."},
    {"tokenizer.vocab_size", size, "4096", 257, 1 << 24, "", "Entries of a tokenizer that is trained, special tokens included."},
    {"tokenizer.eos_token", text, "<|endoftext|>", 0, 0, "", "Token that ends a document and a generated text."},
    {"tokenizer.append_eod", boolean, "true", 0, 0, "", "Put tokenizer.eos_token behind each document."},

    {"codec.audio", choice, "rvq", 0, 0, "rvq mulaw", "rvq: trained vectors of bands, 16 ms a frame; mulaw: a token a sample."},
    {"codec.video_size", integer, "64", 8, 1024, "", "Pixels of a video's longer side at most: larger ones are made smaller."},
    {"codec.video_rate", integer, "5", 1, 60, "", "Frames a second that are taken of a video."},
    {"codec.variants", integer, "4", 0, 1000, "", "How many times a training document is written in another way besides, where its kind has several: molecules in other orders of their atoms (Arus-Pous et al. 2019)."},
    {"codec.image", choice, "patches", 0, 0, "patches conv", "patches: two palettes of 4 x 4 pixels, two tokens a patch; conv: a convolutional network trained on the pictures, one token a patch and a minute or two more to train it."},
    {"codec.image_size", integer, "32", 4, 1024, "", "Pixels of a picture's longer side at most: larger pictures are made smaller. 32 x 32 pixels are 130 tokens, 64 x 64 are 514, half as many with conv: training.seq_len should hold them."},

    {"model.type", choice, "gpt2", 0, 0, "gpt2 llama", "gpt2: LayerNorm, learned positions, GELU, biases; llama: RMSNorm, RoPE, SwiGLU, no biases."},
    {"model.vocab_size", size, "0", 0, 1 << 24, "", "Token ids the model knows; 0 = as many as the tokenizer has."},
    {"model.make_vocab_size_divisible_by", integer, "64", 1, 65536, "", "The embedding is padded to a multiple of it."},
    {"model.hidden_size", integer, "256", 1, 1 << 20, "", "Width of the residual stream."},
    {"model.intermediate_size", integer, "0", 0, 1 << 22, "", "Width of the feed-forward layer; 0 = 4 x hidden_size for gpt2, 8/3 x hidden_size rounded up to 64 for llama."},
    {"model.num_hidden_layers", integer, "4", 1, 4096, "", "Transformer blocks."},
    {"model.num_attention_heads", integer, "4", 1, 4096, "", "Query heads."},
    {"model.num_key_value_heads", integer, "0", 0, 4096, "", "Key and value heads, shared by groups of query heads; 0 = num_attention_heads."},
    {"model.head_dim", integer, "0", 0, 1024, "", "Width of a head; 0 = hidden_size / num_attention_heads."},
    {"model.max_position_embeddings", size, "0", 0, 1 << 24, "", "Longest context; 0 = training.seq_len."},
    {"model.rope_theta", real, "10000", 1, 1e12, "", "Base of the rotary positions (llama)."},
    {"model.norm_eps", real, "1e-5", 1e-12, 0.1, "", "Added to the variance in LayerNorm or RMSNorm (layer_norm_epsilon, rms_norm_eps elsewhere)."},
    {"model.hidden_act", choice, "auto", 0, 0, "auto gelu_new gelu silu", "Activation of the feed-forward layer; auto = gelu_new (tanh form) for gpt2, silu for llama."},
    {"model.tie_word_embeddings", boolean, "true", 0, 0, "", "Output layer and embedding are one matrix."},
    {"model.initializer_range", real, "0.02", 0, 1, "", "Standard deviation of the start weights."},

    {"training.steps", size, "0", 0, kHuge, "", "Length of the run in optimiser steps; 0 = unset. One of steps, epochs and max_tokens decides."},
    {"training.epochs", real, "0", 0, 1e9, "", "Length of the run in passes over data.train; with data.blend in as many samples as that; 0 = unset."},
    {"training.max_tokens", size, "0", 0, kHuge, "", "Length of the run in tokens; 0 = unset."},
    {"training.seq_len", size, "256", 1, 1 << 24, "", "Tokens of one sample."},
    {"training.micro_batch_size", integer, "8", 1, 1 << 20, "", "Samples computed at once by a rank."},
    {"training.global_batch_size", integer, "0", 0, 1 << 30, "", "Samples of one optimiser step over all ranks; 0 = micro_batch_size x virtual ranks."},
    {"training.max_grad_norm", real, "1", 0, kHuge, "", "Gradients are scaled down to this norm; 0 = no clipping."},
    {"training.dtype", choice, "fp32", 0, 0, "fp32 bf16", "Precision of the computation; weights and sums are kept in fp32."},
    {"training.activation_checkpointing", choice, "selective", 0, 0, "none selective full", "What the backward pass computes again to save memory: nothing, what costs little, or each block but its start. Results are the same."},
    {"training.seed", integer, "0", 0, kHuge, "", "Start weights and data order follow from it."},
    {"training.threads", integer, "0", 0, 4096, "", "Threads of a rank; 0 = cores of the node / ranks on the node. Results do not depend on it."},

    {"optimizer.name", choice, "adamw", 0, 0, "adamw", "AdamW (Loshchilov and Hutter, arXiv:1711.05101); no decay on biases and norms."},
    {"optimizer.lr", real, "1e-3", 0, 1000, "", "Highest learning rate."},
    {"optimizer.beta1", real, "0.9", 0, 0.999999, "", "Decay of the mean gradient."},
    {"optimizer.beta2", real, "0.95", 0, 0.999999999, "", "Decay of the mean squared gradient."},
    {"optimizer.eps", real, "1e-8", 0, 1, "", "Added to the root of the mean squared gradient."},
    {"optimizer.weight_decay", real, "0.1", 0, 100, "", "Decoupled weight decay."},
    {"optimizer.stochastic_rounding", boolean, "false", 0, 0, "", "bf16 weights are rounded from their fp32 masters up or down by chance, in proportion to how near each is; false = to the nearest."},
    {"optimizer.skip_step_sigma", real, "0", 0, 1000, "", "Leave out steps whose loss or gradient norm lies this many standard deviations above the recent mean; 0 = only those that are not finite."},

    {"lora.rank", integer, "0", 0, 65536, "", "Train adapters of this rank beside the frozen weights of checkpoint.init_from (LoRA); 0 = train all weights."},
    {"lora.alpha", real, "16", 0, kHuge, "", "What adapters add is scaled by lora.alpha / lora.rank."},
    {"lora.targets", choice, "all", 0, 0, "attention mlp all", "Linear layers with adapters: q, k, v and output of attention; those of the feed-forward half; or both."},

    {"lr_scheduler.type", choice, "cosine", 0, 0, "cosine linear wsd constant", "Course of the rate after warm-up; wsd = stable, then linear decay over decay_steps."},
    {"lr_scheduler.warmup_steps", integer, "0", 0, kHuge, "", "Steps of linear rise to optimizer.lr."},
    {"lr_scheduler.decay_steps", integer, "0", 0, kHuge, "", "Steps of wsd's decay at the end."},
    {"lr_scheduler.min_lr_ratio", real, "0.1", 0, 1, "", "Last rate / optimizer.lr."},

    {"parallelism.data_parallel_size", integer, "-1", -1, 1 << 20, "", "Ranks that share the batch; -1 = all ranks."},
    {"parallelism.virtual_ranks", integer, "0", 0, 1 << 20, "", "Parts a step is summed in, a power of two, fixed for the run: any number of ranks up to it gives the same bits; 0 = the smallest power of two not below the ranks."},
    {"parallelism.bucket_cap_mb", real, "0", 0, 4096, "", "Gradients are exchanged in buckets of this many MiB while the backward pass goes on; 0 = 4 on CPUs, 32 on GPUs."},

    {"checkpoint.dir", text, "", 0, 0, "", "Folder of the checkpoints; empty = checkpoints in the run folder."},
    {"checkpoint.interval", integer, "0", 0, kHuge, "", "Steps from one checkpoint to the next; 0 = only at the end and when asked by a signal."},
    {"checkpoint.interval_seconds", real, "0", 0, kHuge, "", "Seconds from one checkpoint to the next, by the clock of rank 0, beside checkpoint.interval; 0 = none."},
    {"checkpoint.async", boolean, "true", 0, 0, "", "Training goes on while a checkpoint is written: it waits for a copy in host memory alone (12 bytes a weight over all ranks)."},
    {"checkpoint.keep_latest_k", integer, "3", 1, 1000000, "", "Checkpoints that are kept; older ones are removed after a newer one is verified."},
    {"checkpoint.keep_every", integer, "0", 0, kHuge, "", "Checkpoints of steps divisible by it are never removed; 0 = none."},
    {"checkpoint.keep_best", boolean, "false", 0, 0, "", "Save where an evaluation finds the lowest held-out loss so far, and keep that checkpoint: RUN/checkpoints/best names it."},
    {"checkpoint.resume", text, "auto", 0, 0, "", "auto = go on from the newest whole checkpoint if there is one; never = start anew; or the path of a checkpoint."},
    {"checkpoint.init_from", text, "", 0, 0, "", "Start weights: a Hugging Face folder or a checkpoint; empty = from training.seed."},

    {"metrics.log_interval", integer, "1", 1, 1000000, "", "Steps from one line of metrics to the next."},
    {"metrics.tensorboard", boolean, "true", 0, 0, "", "Write TensorBoard events."},
    {"metrics.jsonl", boolean, "true", 0, 0, "", "Write metrics.jsonl, one object a step, evaluation and save."},
    {"metrics.port", integer, "0", 0, 65535, "", "TCP port of 127.0.0.1 where rank 0 shows the same figures, and the state of all ranks, to Prometheus (GET /metrics) while training; 0 = none."},

    {"watchdog.enabled", boolean, "true", 0, 0, "", "Several ranks: end the job, naming the rank, where one is lost, stopped or makes no progress. false for work with a debugger."},
    {"watchdog.timeout_seconds", duration, "10", 2, 86400, "", "How long at most until that is noticed, beside 3 steps' time where a rank hangs; reading, evaluation, checkpoints and the first steps may take 60 times as long."},

    {"eval.interval", integer, "0", 0, kHuge, "", "Steps from one evaluation to the next; 0 = only at the end."},
    {"eval.steps", integer, "0", 0, kHuge, "", "Samples of an evaluation during training; 0 = all of data.val."},
    {"eval.quantization", choice, "none", 0, 0, "none int8", "Weights of the evaluation after training: int8 = the loss that the model has with weights of 8 bits, on a CPU."},
    {"eval.forecasts", integer, "16", 0, 1 << 20, "", "Places of held-out series that the model goes on from, beside the last value and the last season (MASE); 0 = none."},
    {"eval.forecast_horizon", integer, "10", 1, 1 << 16, "", "Rows of a series that are forecast, by the median of 20 continuations."},
    {"eval.memorisation_passages", integer, "64", 0, 1 << 20, "", "Passages of training text, and as many of held-out text, that are tested for recitation; 0 = none."},
    {"eval.memorisation_prompt", integer, "50", 1, 1 << 20, "", "Tokens the model is given of a passage (Carlini et al. 2023, arXiv:2202.07646)."},
    {"eval.memorisation_continuation", integer, "50", 1, 1 << 20, "", "Tokens it has to go on with as they stand there. Half of the model's positions at most, as the prompt."},

    {"generate.temperature", real, "0.8", 0, 100, "", "Logits are divided by it; 0 = always the most likely token."},
    {"generate.top_k", integer, "0", 0, 1 << 24, "", "Only the k most likely tokens; 0 = all."},
    {"generate.top_p", real, "0.95", 1e-6, 1, "", "Only the smallest set of tokens whose probability reaches it."},
    {"generate.max_new_tokens", integer, "200", 1, 1 << 30, "", "Longest continuation."},
    {"generate.seed", integer, "0", 0, kHuge, "", "Equal seeds give equal texts."},
    {"generate.quantization", choice, "none", 0, 0, "none int8", "int8 = matrices as 8-bit integers, a scale for each 64 of a row: half the bytes of bf16; on a CPU."},
    {"generate.guided", boolean, "true", 0, 0, "", "Documents of kinds that have rules (molecules: branches and rings end, no atom has too many bonds) are made within them; false = as the model has them."},
    {"generate.documents", integer, "100", 0, 1 << 24, "", "Documents of each kind beside text (molecules, sound, pictures) that the factory makes and judges."},
    {"generate.prompts", text_list, "[]", 0, 0, "", "Texts to go on from; empty = starts of held-out documents."},

    {"energy.enabled", boolean, "true", 0, 0, "", "Read the energy meter."},
    {"energy.source", text, "auto", 0, 0, "", "auto = the meter that is found; or its name, as `tokenwerk doctor` prints it."},
    {"energy.assumed_watts", real, "0", 0, 1e9, "", "Power of a rank's share of the node where there is no meter; joules are then marked as assumed. 0 = no joules without a meter."},
    {"energy.pue", real, "1", 1, 10, "", "Power usage effectiveness: energy of the facility / energy of the computers."},
    {"energy.price_eur_per_kwh", real, "0", 0, 1000, "", "Price of the facility's energy; 0 = none. Without any price no cost is printed."},
    {"energy.price_eur_per_node_hour", real, "0", 0, 1e6, "", "Price of a machine for an hour, added to that of the energy; 0 = none."},
    {"energy.co2_g_per_kwh", real, "0", 0, 100000, "", "CO2 of the grid; 0 = no CO2 is printed."},

    {"budget.joules", energy, "0", 0, kHuge, "", "Most energy of the run, over all its starts: 50000 or \"50kJ\"; 0 = no limit. train and factory stop before it is passed, with a checkpoint and exit code 77. --budget sets it."},
    {"budget.eur", real, "0", 0, kHuge, "", "Most cost of the run, by energy.price_eur_per_kwh and energy.price_eur_per_node_hour; 0 = no limit."},
    {"budget.seconds", duration, "0", 0, kHuge, "", "Most time of the run, as its phases take it: 7200 or \"2h\"; 0 = no limit."},

    {"integrity.enabled", boolean, "true", 0, 0, "", "Check weights, optimiser state, exchanged gradients and arithmetic for silent damage while training."},
    {"integrity.interval", integer, "0", 0, 1000000, "", "Steps from one check of weights and exchange to the next; 0 = so that checks take about 1 % of a step, at most 10."},
    {"integrity.recompute_interval", integer, "0", 0, 1000000, "", "Steps from one whose gradients are computed twice and compared bit by bit to the next: 1 finds each fault of arithmetic in twice the time, 10 one in ten in a tenth more; 0 = one micro-batch in 512."},
    {"integrity.rollbacks", integer, "3", 0, 1000, "", "How often a run goes back to one checkpoint because the loss rose and stayed high, each time leaving out more batches, before it ends with exit code 79; 0 = never."},

    {"debug.deterministic", choice, "elastic", 0, 0, "off run elastic", "elastic = the same bits on any number of ranks; run = the same bits on an equal layout; off = plain all-reduce."},
};
// clang-format on

std::string range_text(const ConfigKey& key) {
  const auto number = [](double v) {
    std::string s = std::to_string(int64_t(v));
    if (double(int64_t(v)) == v) return s;
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.10g", v);
    return std::string(buffer);
  };
  switch (key.type) {
    case choice: {
      std::string text = "`";
      for (const char c : key.choices) text += c == ' ' ? std::string("`, `") : std::string(1, c);
      return text + "`";
    }
    case boolean:
    case text:
    case text_list: return "";
    default: return key.high >= kHuge ? "from " + number(key.low) : number(key.low) + " to " + number(key.high);
  }
}

}  // namespace

std::span<const ConfigKey> config_keys() { return kKeys; }
std::span<const ConfigSection> config_sections() { return kSections; }

const ConfigKey* find_config_key(std::string_view name) {
  const auto found = std::find_if(std::begin(kKeys), std::end(kKeys), [&](const auto& k) { return k.name == name; });
  return found == std::end(kKeys) ? nullptr : found;
}

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<int> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = int(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = int(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + int(a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

std::string nearest_config_name(std::string_view name) {
  if (name.empty() || name.size() > 100) return "";
  // A third of the letters wrong, but two at least: beyond that a suggestion misleads.
  int best = 2 * std::max<int>(2, int(name.size()) / 3) + 1;
  std::string_view nearest;
  const auto offer = [&](std::string_view candidate, int score) {
    if (score >= best) return;
    best = score;
    nearest = candidate;
  };
  // The difference of the lengths is the least that two names are apart.
  const auto compare = [&](std::string_view candidate) {
    const size_t longer = std::max(name.size(), candidate.size()), shorter = std::min(name.size(), candidate.size());
    if (2 * int(longer - shorter) < best) offer(candidate, 2 * edit_distance(name, candidate));
  };
  const bool dotted = name.find('.') != name.npos;
  const std::string_view leaf = name.substr(name.find('.') + 1);
  if (!dotted)
    for (const auto& section : kSections) compare(section.name);
  for (const auto& key : kKeys) {
    if (dotted) compare(key.name);
    // The right name in the wrong section, or without one: second to a single wrong letter.
    if (leaf == key.leaf()) offer(key.name, 3);
  }
  return std::string(nearest);
}

std::string_view name_of(KeyType type) {
  switch (type) {
    case integer: return "whole number";
    case real: return "number";
    case boolean: return "true or false";
    case text: return "text";
    case text_list: return "list of texts";
    case choice: return "choice";
    case size: return "size";
    case duration: return "duration";
    case energy: return "energy";
  }
  return "";
}

std::string config_reference_markdown() {
  std::string out =
      "# Settings\n\n"
      "Made from the table in `src/config/schema.cpp`; do not edit. How settings are given: `docs/running.md`.\n\n"
      "A size is a whole number or a text such as `\"64Ki\"` (× 1024: Ki, Mi, Gi, Ti) or `\"10M\"` (× 1000: k, M, G, "
      "T).\n";
  for (const auto& section : kSections) {
    out += "\n## [" + std::string(section.name) + "]\n\n" + std::string(section.help) + "\n\n";
    out += "| Key | Type | Default | Allowed | Meaning |\n|---|---|---|---|---|\n";
    for (const auto& key : kKeys) {
      if (key.section() != section.name) continue;
      std::string value(key.default_value);
      if (key.type == text || key.type == choice) value = '"' + value + '"';
      std::string help(key.help);
      for (size_t at = 0; (at = help.find('|', at)) != help.npos; at += 2) help.insert(at, "\\");
      if (value.find('|') != value.npos)
        for (size_t at = 0; (at = value.find('|', at)) != value.npos; at += 2) value.insert(at, "\\");
      out += "| `" + std::string(key.name) + "` | " + std::string(name_of(key.type)) + " | `" + value + "` | " +
             range_text(key) + " | " + help + " |\n";
    }
  }
  return out;
}

}  // namespace tw
