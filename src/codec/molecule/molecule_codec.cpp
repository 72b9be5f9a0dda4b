#include "src/codec/molecule/molecule_codec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "src/codec/codebook.h"
#include "src/codec/molecule/molecule_guide.h"
#include "src/codec/molecule/reordered.h"
#include "src/codec/molecule/smiles.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

constexpr const char* kFormatName = "tokenwerk molecule codec 1";
constexpr int64_t kNamed = 3;              // molecules left out that are named
constexpr size_t kLongestToken = 64;
constexpr int64_t kMostTokens = 65536;
constexpr auto kEndsSmiles = [] {  // on its line
  std::array<bool, 256> table{};
  for (const char c : {' ', '\t', ',', ';'}) table[size_t(c)] = true;
  return table;
}();

std::string_view line_at(std::string_view bytes, size_t& at) {
  const size_t end = std::min(bytes.find('\n', at), bytes.size());
  std::string_view line = bytes.substr(at, end - at);
  at = end + 1;
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  return line;
}

// SDF says so by itself: records end with "$$$$".
bool is_sdf(std::string_view bytes) {
  const size_t end = bytes.find("$$$$");
  return end != bytes.npos && (end == 0 || bytes[end - 1] == '\n');
}

// Calls visit(line number, SMILES) for each molecule.
void for_molecules(std::string_view bytes, const std::function<void(int64_t, std::string_view)>& visit) {
  const bool sdf = is_sdf(bytes);
  bool field = false;  // the next line is one
  int64_t number = 0;
  for (size_t at = 0; at < bytes.size();) {
    std::string_view line = line_at(bytes, at);
    ++number;
    if (sdf) {
      if (field && !line.empty()) visit(number, line.substr(0, line.find_first_of(" \t")));
      field = line.starts_with(">") && line.find("SMILES") != line.npos;
      continue;
    }
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (line.empty() || line[0] == '#') continue;
    const auto end = std::find_if(line.begin(), line.end(), [](char c) { return kEndsSmiles[size_t(static_cast<unsigned char>(c))]; });
    const std::string_view smiles(line.begin(), end);
    if (number == 1) {
      const std::string name = ascii_lower(smiles);
      if (name == "smiles" || name == "canonical_smiles") continue;  // a header
    }
    visit(number, smiles);
  }
}

// What was left out of a file, for its note.
class LeftOut {
 public:
  void add(int64_t line, std::string_view reason) {
    if (++count_ <= kNamed) said_ += fmt::format("{}line {}: {}", said_.empty() ? "" : "; ", line, reason);
  }
  int64_t count() const noexcept { return count_; }
  std::string note(int64_t all) const { return fmt::format("{} of {} molecules are left out: {}{}", count_, all, said_, count_ > kNamed ? "; …" : ""); }

 private:
  int64_t count_ = 0;
  std::string said_;
};

class MoleculeCodec final : public Codec {
 public:
  explicit MoleculeCodec(std::vector<std::string> tokens) : tokens_(std::move(tokens)), rules_(tokens_) {
    Sha256 sum;
    sum.update(kFormatName);
    letters_.fill(-1);
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (tokens_[id].size() == 1) letters_[size_t(static_cast<unsigned char>(tokens_[id][0]))] = int32_t(id);
      sum.update("\n").update(tokens_[id]);
      const bool fresh = ids_.emplace(tokens_[id], int32_t(id)).second;
      TW_CHECK(fresh && smiles_token(tokens_[id]) == tokens_[id].size(), data, "token {} of the molecule codec, \"{}\", is {}", id, repaired_utf8(tokens_[id]),
               fresh ? "none of SMILES" : "there twice");
    }
    hash_ = sum.hex();
  }
  std::string_view name() const override { return kMoleculeCodec.name; }
  int32_t vocab_size() const override { return int32_t(tokens_.size()); }
  std::string hash() const override { return hash_; }

  void encode(const CodecInput& file, CodecSink& sink) const override {
    SmilesReader reader;
    SmilesReorderer reorderer;
    std::vector<std::string> written;  // variants of the molecule
    LeftOut left_out;
    std::vector<int32_t> ids;
    int64_t all = 0, taken = 0;
    for_molecules(file.bytes, [&](int64_t line, std::string_view smiles) {
      ++all;
      if (const std::string_view fault = reader.read(smiles); !fault.empty()) return left_out.add(line, fault);
      if (const std::string_view unknown = ids_of(smiles, ids); !unknown.empty())
        return left_out.add(line, fmt::format("{} is in no molecule of the codebook", repaired_utf8(std::string(unknown))));
      if (taken++ > 0) sink.end_document();
      sink.ids(ids);
      if (file.variants == 0 || !reorderer.take(smiles)) return;
      written.clear();
      for (int v = 0; v < file.variants; ++v) {
        const std::string_view other = reorderer.written(xxh3(smiles.data(), smiles.size()) + uint64_t(v));
        if (other.empty() || !ids_of(other, ids).empty() || other == smiles || std::find(written.begin(), written.end(), other) != written.end()) continue;
        written.emplace_back(other);
        sink.end_document(), sink.variant();
        sink.ids(ids);
      }
    });
    TW_CHECK(taken > 0, data, "no molecule inside{}", left_out.count() ? ": " + left_out.note(all) : "");
    if (left_out.count()) sink.note(left_out.note(all));
  }

  std::string decode(std::span<const int32_t> ids) const override {
    std::string smiles;
    for (const int32_t id : ids) {
      TW_CHECK(id >= 0 && id < vocab_size(), data, "id {} is not in [0, {}), those of the molecule codec", id, vocab_size());
      smiles += tokens_[size_t(id)];
    }
    return smiles + "\n";
  }

  std::unique_ptr<DocumentGuide> guide() const override { return rules_.guide(); }
  std::vector<CodecQuality> quality(std::span<const std::filesystem::path> files) const override;

  void save(const std::filesystem::path& path) const override {
    write_file_atomically(path, nlohmann::json({{"format", kFormatName}, {"tokens", tokens_}}).dump(1) + "\n");
  }

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>()(s); }
  };
  // The first token that is not known, "" = all are.
  std::string_view ids_of(std::string_view smiles, std::vector<int32_t>& ids) const {
    ids.resize(smiles.size());
    size_t count = 0;
    for (size_t i = 0; i < smiles.size();) {
      const char c = smiles[i], next = i + 1 < smiles.size() ? smiles[i + 1] : '\0';
      const int32_t known = letters_[size_t(static_cast<unsigned char>(c))];
      if (known >= 0 && !(c == 'C' && next == 'l') && !(c == 'B' && next == 'r')) {  // most tokens
        ids[count++] = known, ++i;
        continue;
      }
      const std::string_view token = smiles.substr(i, smiles_token(smiles.substr(i)));
      const auto id = ids_.find(token);
      if (id == ids_.end()) return token;
      ids[count++] = id->second;
      i += token.size();
    }
    ids.resize(count);
    return "";
  }
  std::vector<std::string> tokens_;
  MoleculeRules rules_;
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
  std::array<int32_t, 256> letters_;  // ids of tokens of one letter, -1 = none
  std::string hash_;
};

std::vector<CodecQuality> MoleculeCodec::quality(std::span<const std::filesystem::path> files) const {
  class Count final : public CodecSink {
   public:
    explicit Count(const MoleculeCodec& codec) : codec_(codec) {}
    void ids(std::span<const int32_t> some) override {
      tokens += int64_t(some.size()), ++molecules;
      letters += int64_t(codec_.decode(some).size()) - 1;
    }
    void note(std::string) override { lossless = false; }
    int64_t tokens = 0, letters = 0, molecules = 0;
    bool lossless = true;

   private:
    const MoleculeCodec& codec_;
  } count(*this);
  for (const auto& path : files) encode(MappedFile(path).text(), count);
  const double molecules = double(std::max<int64_t>(count.molecules, 1));
  return {{"tokens per molecule, smaller is better", double(count.tokens) / molecules, "one token a letter", double(count.letters) / molecules, count.lossless}};
}

CodecContent inspect_molecules(const CodecInput& file) {
  SmilesReader reader;
  LeftOut left_out;
  int64_t all = 0;
  for_molecules(file.bytes, [&](int64_t line, std::string_view smiles) {
    ++all;
    if (const std::string_view fault = reader.read(smiles); !fault.empty()) left_out.add(line, fault);
  });
  TW_CHECK(all > left_out.count(), data, "no molecule inside{}", all ? ": " + left_out.note(all) : "");
  return {.units = all - left_out.count(), .said = fmt::format("{} molecules", all - left_out.count()), .note = left_out.count() ? left_out.note(all) : ""};
}

std::unique_ptr<Codec> train_molecules(std::span<const std::filesystem::path> files, const CodecTraining& options) {
  std::map<std::string, int64_t, std::less<>> counts;
  std::array<int64_t, 256> letters{};  // of tokens of one letter
  SmilesReader reader;
  for (const auto& path : files)
    for_molecules(MappedFile(path).text(), [&](int64_t, std::string_view smiles) {
      if (!reader.read(smiles).empty()) return;
      for (size_t i = 0; i < smiles.size();) {
        const size_t n = smiles_token(smiles.substr(i));
        const std::string_view token = smiles.substr(i, n);
        if (n == 1) {
          ++letters[size_t(static_cast<unsigned char>(token[0]))];
        } else if (n <= kLongestToken) {
          if (const auto known = counts.find(token); known != counts.end()) ++known->second;
          else counts.emplace(token, 1);
        }
        i += n;
      }
    });
  for (size_t c = 0; c < letters.size(); ++c)
    if (letters[c] > 0) counts.emplace(std::string(1, char(c)), letters[c]);
  TW_CHECK(!counts.empty(), data, "there is no molecule to make the molecule codec of");
  std::vector<std::pair<std::string, int64_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  if (sorted.size() > size_t(std::max(1, options.vocab_size))) sorted.resize(size_t(std::max(1, options.vocab_size)));
  std::vector<std::string> tokens;
  for (auto& [token, n] : sorted) tokens.push_back(std::move(token));
  return std::make_unique<MoleculeCodec>(std::move(tokens));
}

std::unique_ptr<Codec> load_molecules(const std::filesystem::path& path) {
  const auto json = read_codebook(path, {kFormatName}, "molecules", size_t(8) << 20, size_t(2 * kMostTokens));
  TW_CHECK(json.contains("tokens") && json["tokens"].is_array(), data, "{}: its tokens are missing", path.string());
  TW_CHECK(!json["tokens"].empty() && int64_t(json["tokens"].size()) <= kMostTokens, data, "{}: {} tokens", path.string(), json["tokens"].size());
  std::vector<std::string> tokens;
  for (const auto& token : json["tokens"]) {
    TW_CHECK(token.is_string() && token.get_ref<const std::string&>().size() <= kLongestToken, data, "{}: token {} is no text of {} bytes at most", path.string(),
             tokens.size(), kLongestToken);
    tokens.push_back(token);
  }
  return std::make_unique<MoleculeCodec>(std::move(tokens));
}

// Equal parts from the least to the largest of both.
SampleHistogram histogram(std::string title, std::string unit, const std::vector<double>& samples, const std::vector<double>& training, double width) {
  SampleHistogram h{.title = std::move(title), .unit = std::move(unit), .edges = {}, .samples = {}, .training = {}};
  double low = INFINITY, high = -INFINITY;
  for (const auto* all : {&samples, &training})
    for (const double v : *all) low = std::min(low, v), high = std::max(high, v);
  if (!(low <= high)) return h;
  low = std::floor(low / width) * width;
  const auto bins = size_t(std::min(std::floor((high - low) / width) + 1, 200.0));
  for (size_t i = 0; i <= bins; ++i) h.edges.push_back(low + double(i) * width);
  const auto shares = [&](const std::vector<double>& all) {
    std::vector<double> share(bins);
    for (const double v : all) share[std::min(size_t((v - low) / width), bins - 1)] += 1 / double(all.size());
    return share;
  };
  h.samples = shares(samples), h.training = shares(training);
  return h;
}

double mean(const std::vector<double>& all) { return all.empty() ? 0 : std::accumulate(all.begin(), all.end(), 0.0) / double(all.size()); }

SampleJudgement judge_molecules(std::span<const CaptionedDocument> samples, std::span<const CaptionedFile> training) {
  struct Numbers {
    std::vector<double> weights, rings;
    void add(const Molecule& m) { weights.push_back(m.weight()), rings.push_back(m.rings()); }
  } made, given;
  SmilesReader reader;
  std::unordered_set<uint64_t> unique, known;
  for (const CaptionedDocument& sample : samples) {
    const std::string_view smiles = std::string_view(sample.bytes).substr(0, sample.bytes.find_first_of("\r\n"));
    if (!reader.read(smiles).empty()) continue;
    unique.insert(reader.molecule().identity());
    made.add(reader.molecule());
  }
  int64_t lines = 0;
  for (const CaptionedFile& file : training)
    for_molecules(MappedFile(file.path).text(), [&](int64_t, std::string_view smiles) {
      if (++lines; !reader.read(smiles).empty()) return;
      known.insert(reader.molecule().identity());
      given.add(reader.molecule());
    });
  const auto novel = std::count_if(unique.begin(), unique.end(), [&](uint64_t id) { return !known.contains(id); });
  const auto share = [](auto part, auto whole) { return whole > 0 ? double(part) / double(whole) : 0; };
  constexpr const char* kBaseline = "training files";
  return {.measures = {{"valid molecules, share", share(made.weights.size(), samples.size()), kBaseline, share(given.weights.size(), lines), false},
                       {"different ones among the valid, share", share(unique.size(), made.weights.size()), kBaseline, share(known.size(), given.weights.size()), false},
                       {"new ones among the different, share", share(novel, unique.size()), kBaseline, 0, false},
                       {"molecular weight, mean, g/mol", mean(made.weights), kBaseline, mean(given.weights), false},
                       {"rings, mean", mean(made.rings), kBaseline, mean(given.rings), false}},
          .histograms = {histogram("Molecular weight", "g/mol", made.weights, given.weights, 10), histogram("Rings", "", made.rings, given.rings, 1)}};
}

constexpr std::string_view kEndings[] = {".smi", ".smiles", ".sdf"};

}  // namespace

const CodecKind kMoleculeCodec = {.name = "molecule", .endings = kEndings, .artefact = "smi", .codebook = "molecule.json", .lines = true, .several = true,
                                  .inspect = inspect_molecules, .train = train_molecules, .load = load_molecules, .judge = judge_molecules};

}  // namespace tw
