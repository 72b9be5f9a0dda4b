#include "tests/checkpoint/fixture.h"

#include <algorithm>
#include <cmath>

#include "tests/support/thread_comm.h"

namespace tw {
namespace fs = std::filesystem;

std::vector<ToyTensor> toy_tensors(int64_t large) {
  std::vector<ToyTensor> tensors;
  for (const char* slot : {"weight", "m", "v"}) {
    const size_t first = tensors.size();
    tensors.push_back({"tokens.weight", slot, {97, 33}});
    tensors.push_back({"layers.2.mlp.up.weight", slot, {large}});
    tensors.push_back({"layers.10.mlp_norm.bias", slot, {1}});
    tensors.push_back({"scalar", slot, {}});
    tensors.push_back({"block", slot, {3, 5, 7, 2}});
    for (size_t t = first; t < tensors.size(); ++t) tensors[t].number = t + 1;
  }
  return tensors;
}

float toy_value(const ToyTensor& tensor, int64_t element, int64_t step) {
  // Any function that no two elements, tensors or steps share will do.
  uint64_t h = uint64_t(element) * 0x9E3779B97F4A7C15u + uint64_t(step) * 0xD1B54A32D192ED03u;
  h = (h ^ tensor.number) * 0xBF58476D1CE4E5B9u;
  h ^= h >> 29;
  return float(int64_t(h % 2000003) - 1000001) / 1024.0f;
}

CheckpointInfo toy_info(int64_t step) {
  CheckpointInfo info;
  info.step = step, info.samples = step * 8, info.tokens = step * 8 * 256;
  info.joules = 0.1 + double(step) / 3;
  info.model_json = R"({"type": "gpt2"})";
  info.config_toml = "[run]\ndir = \"größe\"\n";
  info.trainer_json = R"({"window": [0.30000000000000004, 1e-300]})";
  info.tokenizer_hash = "abc", info.data_fingerprint = "def";
  return info;
}

std::vector<std::pair<int64_t, int64_t>> toy_ranges(Layout layout, size_t tensor, int64_t count, int rank, int ranks) {
  switch (layout) {
    case Layout::whole:
      if (int(tensor) % ranks == rank) return {{0, count}};
      return {};
    case Layout::even: {
      const int64_t size = (count + ranks - 1) / ranks;
      return {{std::min(count, rank * size), std::min(count, (rank + 1) * size)}};
    }
    case Layout::ragged: {
      // Borders at i^2 / parts^2; part p belongs to rank p / 2, and the last rank has none where there are several.
      const int owners = std::max(1, ranks - 1), parts = 2 * owners;
      std::vector<std::pair<int64_t, int64_t>> ranges;
      for (int p = parts - 1; p >= 0; --p)
        if (p / 2 == rank) ranges.push_back({count * p * p / (parts * parts), count * (p + 1) * (p + 1) / (parts * parts)});
      return ranges;
    }
  }
  return {};
}

ToySlices toy_slices(Layout layout, int64_t step, int rank, int ranks, int64_t large) {
  ToySlices out;
  const std::vector<ToyTensor> tensors = toy_tensors(large);
  for (size_t t = 0; t < tensors.size(); ++t)
    for (const auto& [begin, end] : toy_ranges(layout, t, tensors[t].shape.count(), rank, ranks)) {
      std::vector<float>& memory = out.memory.emplace_back(size_t(end - begin));
      for (int64_t i = begin; i < end; ++i) memory[size_t(i - begin)] = toy_value(tensors[t], i, step);
      out.slices.push_back({tensors[t].name, tensors[t].slot, tensors[t].shape, begin, end,
                            ConstView(memory.data(), DType::fp32, {end - begin})});
    }
  return out;
}

fs::path save_toy(const fs::path& folder, int64_t step, int ranks, Layout layout, int keep_latest_k, int64_t keep_every,
                  int64_t large) {
  std::vector<fs::path> saved(static_cast<size_t>(ranks));
  run_ranks(ranks, [&](Communicator& comm) {
    CheckpointOptions options;
    options.folder = folder;
    options.keep_latest_k = keep_latest_k, options.keep_every = keep_every;
    const ToySlices mine = toy_slices(layout, step, comm.rank(), ranks, large);
    saved[size_t(comm.rank())] = save_checkpoint(options, toy_info(step), mine.slices, comm);
  });
  for (const fs::path& path : saved) TW_CHECK(path == saved[0], bug, "ranks disagree: {}", path.string());
  return saved[0];
}

int64_t wrong_elements(const Checkpoint& checkpoint, int64_t step, int64_t large) {
  int64_t wrong = 0;
  for (const ToyTensor& t : toy_tensors(large)) {
    std::vector<float> values(size_t(t.shape.count()), std::nanf(""));
    checkpoint.read(t.name, t.slot, 0, t.shape.count(), View(values.data(), DType::fp32, {t.shape.count()}));
    for (int64_t i = 0; i < t.shape.count(); ++i) wrong += values[size_t(i)] != toy_value(t, i, step);
  }
  return wrong;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace tw
