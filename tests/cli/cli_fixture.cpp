#include "tests/cli/cli_fixture.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/rng.h"

namespace tw {

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Ended Cli::tokenwerk(Words words, const ProcessOptions& options) {
  return run_process(Words{TW_BINARY} + words, options);
}

Ended Cli::ranks(int ranks, Words words, ProcessOptions options) {
  const TemporaryFolder scratch;  // killed ranks leave sockets and shared memory behind
  for (const char* name : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_rmaps_base_oversubscribe",
                           "OMPI_MCA_mpi_yield_when_idle"})
    options.environment.emplace_back(name, "1");
  options.environment.emplace_back("OMPI_MCA_hwloc_base_binding_policy", "none");
  return run_process(Words{TW_MPIRUN, "--timeout", "120", "--mca", "orte_tmpdir_base", scratch.path(), "--mca",
                           "btl_vader_backing_directory", scratch.path(), "-np", std::to_string(ranks), TW_BINARY} + words,
                     options);
}

void Cli::write(const std::string& name, const std::string& content) const {
  std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
  std::ofstream(path(name), std::ios::binary) << content;
}

std::string Cli::documents(int files) const {
  static const char* const kWords[] = {"the ", "pump ", "valve ", "opens ", "closes ", "when ", "pressure ", "rises. ", "falls. ",
                                       "Check ", "before ", "start. ", "Überdruck ", "– ", "12 bar "};
  for (int f = 0; f < files; ++f) {
    const Rng rng{7, RngStream::test, uint32_t(f), 0};
    std::string text;
    uint32_t state = 0;
    for (uint64_t i = 0; i < 400; ++i) {
      state = rng.bits(i) % 5 == 0 ? rng.bits(i + 1000) % 15 : (state * 4 + 3) % 15;
      text += kWords[state];
      if (i % 40 == 39) text += "\n\n";
    }
    const std::string name = "documents/" + std::to_string(f);
    if (f % 3 == 0) write(name + ".txt", text);
    if (f % 3 == 1) write(name + ".md", "# Pumps\n\n" + text);
    if (f % 3 == 2) write(name + ".html", "<html><body><p>" + text + "</p></body></html>");
  }
  return path("documents");
}

Cli::Words Cli::tiny(int steps) {
  return {"--tokenizer.vocab_size", "300", "--model.hidden_size", "32", "--model.num_hidden_layers", "2",
          "--model.num_attention_heads", "2", "--training.seq_len", "32", "--training.micro_batch_size", "2",
          "--training.steps", std::to_string(steps), "--optimizer.lr", "1e-2", "--parallelism.virtual_ranks", "4",
          "--parallelism.bucket_cap_mb", "0.02", "--generate.max_new_tokens", "20"};
}

std::string Cli::raw_tokens(int count) const {
  const Rng rng{3, RngStream::test, 0, 0};
  std::string bytes;
  uint32_t state = 1;
  for (int i = 0; i < count; ++i) {
    state = rng.bits(uint64_t(i)) % 8 == 0 ? rng.bits(uint64_t(i + count)) % 61 : (5 * state + 3) % 61;
    bytes += char(state);
    bytes += char(0);
  }
  // A run that is under way may read it.
  const std::filesystem::path file = path("tokens.u16");
  if (!std::filesystem::exists(file) || std::filesystem::file_size(file) != bytes.size()) write("tokens.u16", bytes);
  return file;
}

std::string Cli::weights(const std::string& run) const {
  const std::string out = run + "-exported";
  const Ended e = tokenwerk({"export", run, "--out", out});
  EXPECT_EQ(e.code, 0) << e.err;
  return Sha256().update(read_file(std::filesystem::path(out) / "model.safetensors")).hex();
}

nlohmann::json Cli::json(const std::filesystem::path& file) const { return nlohmann::json::parse(read_file(file)); }

std::vector<nlohmann::json> Cli::lines(const std::filesystem::path& file) const {
  std::vector<nlohmann::json> all;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) all.push_back(nlohmann::json::parse(line));
  return all;
}

std::vector<nlohmann::json> Cli::steps(const std::filesystem::path& run) const {
  auto all = lines(run / "metrics.jsonl");
  std::erase_if(all, [](const nlohmann::json& line) { return !line.contains("loss"); });
  return all;
}

}  // namespace tw
