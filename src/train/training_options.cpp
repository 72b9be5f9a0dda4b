#include "src/train/training_options.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

namespace tw {
namespace {

ConfigValue value_of(const nlohmann::json& v) {
  if (v.is_boolean()) return v.get<bool>();
  if (v.is_number_integer()) return v.get<int64_t>();
  if (v.is_number()) return v.get<double>();
  return v.get<std::string>();
}

bool left_to_us(const Config& config, const std::string& key) {
  if (config.is_default(key)) return true;
  const ConfigKey& known = *find_config_key(key);
  Config other;
  other.set_text(key, known.default_value, "default");
  // An explicit 0 or "auto" means the same as none where that is the default's meaning.
  const bool open = known.default_value == "0" || known.default_value == "auto";
  if (!open) return false;
  return known.type == KeyType::choice ? config.get<std::string>(key) == "auto" : config.get<int64_t>(key) == 0;
}

void derive(Config& config, const char* key, int64_t value) {
  if (left_to_us(config, key)) config.set(key, value, "derived");
}

void take_given(Config& config, const GivenModel& given) {
  const nlohmann::json json = to_json(given.model);
  for (const auto& [leaf, value] : json.items()) {
    const std::string key = "model." + leaf;
    if (left_to_us(config, key)) {
      config.set(key, value_of(value), given.origin);
      continue;
    }
    Config wanted;
    wanted.set(key, value_of(value), given.origin);
    const auto same = [&]<class T>() { return wanted.get<T>(key) == config.get<T>(key); };
    bool equal = false;
    switch (find_config_key(key)->type) {
      case KeyType::boolean: equal = same.template operator()<bool>(); break;
      case KeyType::real: equal = same.template operator()<double>(); break;
      case KeyType::choice:
      case KeyType::text: equal = same.template operator()<std::string>(); break;
      default: equal = same.template operator()<int64_t>(); break;
    }
    TW_CHECK(equal, config, "{}: {} contradicts {}, where it is {}: leave it out", config.origin(key), key, given.origin,
             value.dump());
  }
}

}  // namespace

ModelConfig resolve_model(Config& config, int64_t vocab, const std::optional<GivenModel>& given) {
  if (given) take_given(config, *given);
  if (given && config.is_default("training.seq_len") && given->model.max_position_embeddings < config.get<int64_t>("training.seq_len"))
    config.set("training.seq_len", given->model.max_position_embeddings, "derived");
  const bool llama = config.get<std::string>("model.type") == "llama";
  const auto integer = [&](const char* key) { return config.get<int64_t>(key); };
  if (integer("model.vocab_size") == 0) {
    TW_CHECK(vocab > 0, config, "model.vocab_size must be set: the token files do not say how many ids there are");
    derive(config, "model.vocab_size", vocab);
  }
  TW_CHECK(vocab <= integer("model.vocab_size"), config,
           "{}: model.vocab_size = {}, but the token files were made with {} tokens", config.origin("model.vocab_size"),
           integer("model.vocab_size"), vocab);
  const int64_t C = integer("model.hidden_size"), heads = integer("model.num_attention_heads");
  derive(config, "model.intermediate_size", llama ? (8 * C / 3 + 63) / 64 * 64 : 4 * C);
  derive(config, "model.num_key_value_heads", heads);
  if (integer("model.head_dim") == 0) {
    TW_CHECK(C % heads == 0, config, "{}: model.hidden_size = {} is not a multiple of model.num_attention_heads = {}",
             config.origin("model.num_attention_heads"), C, heads);
    derive(config, "model.head_dim", C / heads);
  }
  derive(config, "model.max_position_embeddings", integer("training.seq_len"));
  if (config.get<std::string>("model.hidden_act") == "auto")
    config.set("model.hidden_act", std::string(llama ? "silu" : "gelu_new"), "derived");

  ModelConfig m;
  m.type = architecture_named(config.get<std::string>("model.type"));
  m.vocab_size = integer("model.vocab_size");
  m.make_vocab_size_divisible_by = integer("model.make_vocab_size_divisible_by");
  m.hidden_size = C;
  m.intermediate_size = integer("model.intermediate_size");
  m.num_hidden_layers = integer("model.num_hidden_layers");
  m.num_attention_heads = heads;
  m.num_key_value_heads = integer("model.num_key_value_heads");
  m.head_dim = integer("model.head_dim");
  m.max_position_embeddings = integer("model.max_position_embeddings");
  m.rope_theta = config.get<double>("model.rope_theta");
  m.norm_eps = config.get<double>("model.norm_eps");
  m.hidden_act = config.get<std::string>("model.hidden_act");
  m.tie_word_embeddings = config.get<bool>("model.tie_word_embeddings");
  m.initializer_range = config.get<double>("model.initializer_range");
  m.check();
  return m;
}

AdapterConfig resolve_adapters(Config& config, const std::optional<AdapterConfig>& given) {
  const auto keep = [&]<class T>(const char* key, const T& value) {
    if (config.is_default(key)) config.set(key, value, "checkpoint");
    TW_CHECK(config.get<T>(key) == value, config, "{}: {} = {}, but the checkpoint's adapters were made with {}: leave it out to go on, or start a new run",
             config.origin(key), key, config.get<T>(key), value);
  };
  if (given) keep("lora.rank", given->rank), keep("lora.alpha", given->alpha), keep("lora.targets", name_of(given->targets));
  AdapterConfig adapters{.rank = config.get<int64_t>("lora.rank"),
                         .alpha = config.get<double>("lora.alpha"),
                         .targets = adapter_targets_named(config.get<std::string>("lora.targets"))};
  if (adapters.any()) adapters.check();
  return adapters;
}

TrainerOptions resolve_trainer(Config& config, const ModelConfig& model, int ranks, const std::optional<GivenBatch>& given, Device device) {
  const int64_t wanted = config.get<int64_t>("parallelism.data_parallel_size");
  TW_CHECK(wanted < 0 || wanted == ranks, config, "{}: parallelism.data_parallel_size = {}, but the run has {} ranks: -1 takes all",
           config.origin("parallelism.data_parallel_size"), wanted, ranks);
  TrainerOptions o;
  o.model = model;
  o.dtype = dtype_named(config.get<std::string>("training.dtype"));
  o.seq_len = config.get<int64_t>("training.seq_len");
  o.micro_batch_size = config.get<int64_t>("training.micro_batch_size");
  o.determinism = determinism_named(config.get<std::string>("debug.deterministic"));
  if (o.determinism == Determinism::elastic) {
    if (given) {
      if (left_to_us(config, "parallelism.virtual_ranks"))
        config.set("parallelism.virtual_ranks", int64_t(given->virtual_ranks), "checkpoint");
      TW_CHECK(config.get<int>("parallelism.virtual_ranks") == given->virtual_ranks, config,
               "{}: parallelism.virtual_ranks = {}, but the run was started with {}: leave it out to go on",
               config.origin("parallelism.virtual_ranks"), config.get<int>("parallelism.virtual_ranks"), given->virtual_ranks);
    }
    derive(config, "parallelism.virtual_ranks", int64_t(std::bit_ceil(unsigned(ranks))));
    o.virtual_ranks = config.get<int>("parallelism.virtual_ranks");
    TW_CHECK(ranks <= o.virtual_ranks, config, "{} ranks are more than parallelism.virtual_ranks = {} ({}): start at most {}",
             ranks, o.virtual_ranks, config.origin("parallelism.virtual_ranks"), o.virtual_ranks);
  } else {
    o.virtual_ranks = ranks;
  }
  if (given && left_to_us(config, "training.global_batch_size"))
    config.set("training.global_batch_size", given->global_batch_size, "checkpoint");
  derive(config, "training.global_batch_size", o.micro_batch_size * o.virtual_ranks);
  o.global_batch_size = config.get<int64_t>("training.global_batch_size");
  const double cap = config.get<double>("parallelism.bucket_cap_mb");
  // MPI is at its fastest with few MiB; a GPU takes long enough to start an op that few large ones are ahead.
  o.bucket_bytes = int64_t((cap > 0 ? cap : device.is_cuda() ? 32 : 4) * double(1 << 20));
  o.checkpointing = checkpointing_named(config.get<std::string>("training.activation_checkpointing"));
  o.max_grad_norm = config.get<double>("training.max_grad_norm");
  o.schedule = {.type = schedule_named(config.get<std::string>("lr_scheduler.type")),
                .lr = config.get<double>("optimizer.lr"),
                .min_lr_ratio = config.get<double>("lr_scheduler.min_lr_ratio"),
                .warmup_steps = config.get<int64_t>("lr_scheduler.warmup_steps"),
                .decay_steps = config.get<int64_t>("lr_scheduler.decay_steps")};
  o.optimizer = {.beta1 = config.get<double>("optimizer.beta1"),
                 .beta2 = config.get<double>("optimizer.beta2"),
                 .eps = config.get<double>("optimizer.eps"),
                 .weight_decay = config.get<double>("optimizer.weight_decay"),
                 .stochastic_rounding = config.get<bool>("optimizer.stochastic_rounding"),
                 .seed = config.get<uint64_t>("training.seed")};
  o.skip_step_sigma = config.get<double>("optimizer.skip_step_sigma");
  o.integrity = {.enabled = config.get<bool>("integrity.enabled"), .interval = config.get<int64_t>("integrity.interval"),
                 .recompute_interval = config.get<int64_t>("integrity.recompute_interval")};
  TW_CHECK(o.integrity.recompute_interval == 0 || (o.integrity.enabled && o.determinism != Determinism::off), config,
           "{}: integrity.recompute_interval compares bits: it wants integrity.enabled = true and debug.deterministic = \"elastic\" or \"run\"",
           config.origin("integrity.recompute_interval"));
  o.check(ranks);
  return o;
}

int64_t resolve_steps(const Config& config, int64_t global_batch_size, int64_t samples_per_epoch) {
  const int64_t steps = config.get<int64_t>("training.steps"), tokens = config.get<int64_t>("training.max_tokens");
  const double epochs = config.get<double>("training.epochs");
  if (steps > 0) return steps;
  const double samples = epochs > 0 ? epochs * double(samples_per_epoch)
                                    : double(tokens) / double(config.get<int64_t>("training.seq_len"));
  TW_CHECK(samples > 0, config, "how long shall it train? Set training.steps, training.epochs or training.max_tokens");
  return std::max<int64_t>(1, std::llround(samples / double(global_batch_size)));
}

int resolve_threads(const Config& config, int ranks_on_node) {
  const int wanted = config.get<int>("training.threads");
  if (wanted > 0) return wanted;
  // Cores this process may use: a launcher that binds ranks leaves few of them.
  const int cores = int(std::max(1u, std::thread::hardware_concurrency()));
  return std::max(1, cores / ranks_on_node);
}

std::vector<std::shared_ptr<const TokenFile>> open_token_files(const Config& config, const char* key) {
  std::vector<std::shared_ptr<const TokenFile>> files;
  for (const std::string& path : config.get<std::vector<std::string>>(key))
    files.push_back(TokenFile::open(path, config.get<int>("data.raw_bits")));
  return files;
}

int64_t largest_vocab(std::span<const std::shared_ptr<const TokenFile>> files) {
  int64_t vocab = 0;
  for (const auto& f : files) vocab = std::max(vocab, f->vocab_size());
  return vocab;
}

TrainingData resolve_data(const Config& config, std::vector<std::shared_ptr<const TokenFile>> files, int64_t vocab,
                          int64_t global_batch_size) {
  BatchOptions options = {.seq_len = config.get<int64_t>("training.seq_len"),
                          .sample_stride = config.get<int64_t>("data.sample_stride"),
                          .shuffle = config.get<bool>("data.shuffle"),
                          .seed = config.get<uint64_t>("training.seed"),
                          .vocab_size = vocab};
  TrainingData data;
  data.batches = std::make_shared<const Batches>(files, options);
  data.steps = resolve_steps(config, global_batch_size, data.batches->samples_per_epoch());
  const auto entries = config.get<std::vector<std::string>>("data.blend");
  if (entries.empty()) return data;
  for (const std::string& text : entries) {
    const BlendEntry entry = parse_blend_entry(text);
    const double step = entry.share ? std::round(entry.start * double(data.steps)) : entry.start;
    TW_CHECK(step <= 9e18 / double(global_batch_size), config, "data.blend: \"{}\" begins too late", text);
    options.blend.push_back({int64_t(step) * global_batch_size, entry.weights});
  }
  data.batches = std::make_shared<const Batches>(std::move(files), options);
  return data;
}

Packing resolve_packing(const Config& config, Architecture type, std::span<const std::shared_ptr<const TokenFile>> files) {
  // Conversations stay apart unless the user says otherwise: each is asked from its beginning on.
  const bool talks = std::any_of(files.begin(), files.end(), [](const auto& file) { return !file->untrained().empty() && file->eod() >= 0; });
  const auto resets = [&](const char* key) { return config.is_default(key) ? talks : config.get<bool>(key); };
  Packing p{.reset_attention_mask = resets("data.reset_attention_mask"),
            .reset_position_ids = resets("data.reset_position_ids"),
            .eod_mask_loss = config.get<bool>("data.eod_mask_loss")};
  if (!p.needs_starts() && !p.eod_mask_loss) return p;
  TW_CHECK(!p.reset_position_ids || p.reset_attention_mask || type == Architecture::gpt2, config,
           "{}: data.reset_position_ids alone does nothing here: rotary positions are relative. Set data.reset_attention_mask",
           config.origin("data.reset_position_ids"));
  p.eod = config.get<int>("data.eod_id");
  for (const auto& file : files) {
    if (p.eod < 0) p.eod = file->eod();
    TW_CHECK(p.eod >= 0, config,
             "{} does not say which token ends a document, which data.reset_attention_mask, data.reset_position_ids and "
             "data.eod_mask_loss go by: tokenize with tokenizer.append_eod = true, or set data.eod_id",
             file->path().string());
    TW_CHECK(file->eod() < 0 || file->eod() == p.eod, config, "{}: documents end with token {}, elsewhere with {}",
             file->path().string(), file->eod(), p.eod);
  }
  return p;
}

}  // namespace tw
