#include "tests/storm/part.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "src/core/error.h"
#include "src/core/hash.h"
#include "src/core/rng.h"

namespace tw::storm {
namespace fs = std::filesystem;

PartOptions part_options(int argc, char** argv, double minutes) {
  PartOptions o;
  o.minutes = minutes;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool more = i + 1 < argc;
    if (word == "--short") {
      o.brief = true;
    } else if (word == "--minutes" && more) {
      o.minutes = std::atof(argv[++i]);
    } else if (word == "--seed" && more) {
      o.seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--only" && more) {
      o.only = argv[++i];
    } else {
      std::fprintf(stderr, "%s: unknown word %s; it takes --minutes M, --seed N, --only NAME and --short\n", argv[0], argv[i]);
      std::exit(64);
    }
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  return o;
}

double Stopwatch::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

void print_figure(const std::string& figure, const std::string& goal, const std::string& value, bool met, double seconds,
                  const nlohmann::json& numbers) {
  nlohmann::ordered_json line;
  line["figure"] = figure, line["goal"] = goal, line["value"] = value, line["met"] = met;
  line["seconds"] = std::round(seconds * 10) / 10, line["numbers"] = numbers;
  std::printf("%s\n", line.dump().c_str());
}

std::string sha256_of(const Checkpoint& checkpoint, const std::vector<std::string>& slots) {
  Sha256 sum;
  std::vector<float> values;
  for (const Checkpoint::TensorInfo& t : checkpoint.tensors()) {
    if (std::find(slots.begin(), slots.end(), t.slot) == slots.end()) continue;
    const int64_t n = t.shape.count();
    values.resize(size_t(n));
    checkpoint.read(t.name, t.slot, 0, n, View(values.data(), DType::fp32, {n}));
    sum.update(t.slot + "/" + t.name + " " + t.shape.str() + "\n");
    sum.update(values.data(), size_t(n) * sizeof(float));
  }
  return sum.hex();
}

FastFolder::FastFolder() {
  const bool memory = ::access("/dev/shm", W_OK) == 0;
  std::string name = ((memory ? fs::path("/dev/shm") : fs::temp_directory_path()) / "tw-storm-XXXXXX").string();
  TW_CHECK(::mkdtemp(name.data()), cannot_create, "cannot make {}", name);
  path_ = name;
}
FastFolder::~FastFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

TinyRun::TinyRun(const fs::path& folder) : tokens_(folder / "tokens.u16") {
  const Rng rng{3, RngStream::test, 0, 0};
  std::string bytes;
  uint32_t state = 1;
  for (int i = 0; i < 6000; ++i) {
    state = rng.bits(uint64_t(i)) % 8 == 0 ? rng.bits(uint64_t(i + 6000)) % 61 : (5 * state + 3) % 61;
    bytes += char(state);
    bytes += char(0);
  }
  std::ofstream(tokens_, std::ios::binary) << bytes;
}

TinyRun::Words TinyRun::train(const fs::path& run, int steps, int interval, int keep, bool background) const {
  return {TW_BINARY, "train", "--out", run.string(), "--data.train", tokens_.string(), "--model.vocab_size", "61",
          "--model.hidden_size", "16", "--model.num_hidden_layers", "1", "--model.num_attention_heads", "2",
          "--training.seq_len", "16", "--training.micro_batch_size", "1", "--training.steps", std::to_string(steps),
          "--training.threads", "1", "--optimizer.lr", "1e-2", "--parallelism.virtual_ranks", "8",
          "--checkpoint.interval", std::to_string(interval), "--checkpoint.async", background ? "true" : "false", "--checkpoint.keep_latest_k", std::to_string(keep),
          "--metrics.tensorboard", "false"};
}

TinyRun::Words TinyRun::start(int ranks, const fs::path& scratch) {
  if (ranks == 0) return {};
  return {TW_MPIRUN, "--mca", "orte_tmpdir_base", scratch.string(), "--mca", "btl_vader_backing_directory", scratch.string(),
          "-np", std::to_string(ranks)};
}

std::vector<std::pair<std::string, std::string>> TinyRun::environment() {
  std::vector<std::pair<std::string, std::string>> e;
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe",
                           "OMPI_MCA_mpi_yield_when_idle", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"})
    e.emplace_back(name, "1");
  e.emplace_back("OMPI_MCA_hwloc_base_binding_policy", "none");
  return e;
}

}  // namespace tw::storm
