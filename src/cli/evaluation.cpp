#include "src/cli/evaluation.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "src/cli/job.h"
#include "src/codec/id_space.h"
#include "src/core/utf8.h"
#include "src/data/token_text.h"
#include "src/meter/baselines.h"
#include "src/meter/progress.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kTokensAtOnce = 4096;  // of a forward pass
constexpr size_t kDomains = 40;
constexpr int64_t kLongestOpening = 1 << 14;  // tokens of a caption
constexpr int64_t kTrainingText = int64_t(256) << 20;
constexpr size_t kBatch = size_t(1) << 20;

std::vector<std::string> folders_of(const std::string& path) {
  std::vector<std::string> folders;
  for (const fs::path& part : fs::path(path).parent_path()) folders.push_back(part.string());
  return folders;
}

std::string ending_of(const std::string& path) {
  const std::string ending = ascii_lower(fs::path(path).extension().string());
  return ending.empty() ? "without an ending" : ending;
}

using Names = std::vector<std::vector<std::string>>;  // by file and document

template <class Name>
Names named(const std::vector<std::shared_ptr<const TokenFile>>& files, Name&& name) {
  Names names;
  for (const auto& file : files) {
    names.emplace_back();
    for (const Document& d : file->documents()) names.back().push_back(name(d.path));
  }
  return names;
}

// "text", or the codec whose marker comes first in a document that has no text but a caption.
Names kinds_of(const std::vector<std::shared_ptr<const TokenFile>>& files, const TextTokenizer* tokenizer) {
  std::map<int32_t, std::string> of_marker;
  if (tokenizer) {
    const IdSpace ids(*tokenizer);
    for (const CodecRange& r : ids.ranges()) of_marker[r.begin] = r.name;
  }
  Names names;
  for (const auto& file : files) {
    names.emplace_back();
    for (const Document& d : file->documents()) {
      auto found = of_marker.end();
      for (int64_t i = 0; d.bytes == 0 && i < std::min(d.tokens, kLongestOpening) && found == of_marker.end(); ++i) found = of_marker.find((*file)[d.first_token + i]);
      names.back().push_back(found == of_marker.end() ? "text" : found->second);
    }
  }
  return names;
}

bool tells_apart(const Names& names) {
  const std::string* first = nullptr;
  for (const auto& file : names)
    for (const std::string& name : file) {
      if (first && name != *first) return true;
      first = &name;
    }
  return false;
}

// Documents of text alone: what is none has no bytes, and pages may have pictures in them.
std::vector<bool> texts_of(const TokenFile& file, const TextTokenizer* tokenizer) {
  std::vector<bool> texts;
  int32_t first = std::numeric_limits<int32_t>::max();  // id that is no text: so are all behind it
  if (tokenizer)
    if (const IdSpace ids(*tokenizer); !ids.ranges().empty()) first = ids.ranges().front().begin;
  for (const Document& d : file.documents()) {
    bool text = d.bytes > 0;
    for (int64_t i = d.first_token; text && tokenizer && i < d.first_token + d.tokens; ++i) text = file[i] < first;
    texts.push_back(text);
  }
  return texts;
}

bool all_text(const std::vector<bool>& texts, const std::vector<size_t>& members) {
  return std::all_of(members.begin(), members.end(), [&](size_t d) { return texts[d]; });
}

EvaluatedPart part(std::string name, const EvaluatedSplit& split, std::vector<size_t> members, const Evaluation& evaluation, const std::vector<bool>& texts, double log2_vocabulary) {
  EvaluatedPart p{.name = std::move(name), .documents = int64_t(members.size()), .members = std::move(members)};
  double sum = 0, first = 0;
  int64_t untrained = 0;
  for (const size_t d : p.members) {
    untrained += evaluation.documents[d].untrained;
    p.bytes += split.file->documents()[d].bytes;
    p.tokens += evaluation.documents[d].tokens;
    sum += evaluation.documents[d].loss_sum;
    if (split.file->documents()[d].first_token == 0) first = log2_vocabulary;  // the token without context
  }
  p.loss = p.tokens ? sum / double(p.tokens) : NAN;
  p.perplexity = std::exp(p.loss);
  p.bits_per_byte = p.bytes && untrained == 0 && all_text(texts, p.members) ? (sum / std::log(2.0) + first) / double(p.bytes) : NAN;
  return p;
}

// Feeds every text of a part to its baselines, each on a thread of its own.
class Feeder {
 public:
  explicit Feeder(ThreadTeam& team) : team_(team) {}
  void add(std::string_view text) {
    if (pieces_.empty() || pieces_.back().end) pieces_.emplace_back();
    pieces_.back().text += text;
    bytes_ += text.size();
  }
  void end_document() {
    if (pieces_.empty() || pieces_.back().end) pieces_.emplace_back();
    pieces_.back().end = true;
  }
  bool full() const { return bytes_ >= kBatch; }
  template <class Feed, class End>
  void flush(size_t takers, Feed&& feed, End&& end) {
    team_.run(int64_t(takers), [&](int64_t i, int) {
      for (const Piece& piece : pieces_) {
        feed(size_t(i), piece.text);
        if (piece.end) end(size_t(i));
      }
    });
    pieces_.clear();
    bytes_ = 0;
  }

 private:
  struct Piece {
    std::string text;
    bool end = false;
  };
  ThreadTeam& team_;
  std::vector<Piece> pieces_;
  size_t bytes_ = 0;
};

void score(const TextTokenizer& tokenizer, const std::vector<std::unique_ptr<Baseline>>& baselines, bool trained, const TokenFile& file,
           EvaluatedPart& p, ThreadTeam& team, WorkMeter& meter) {
  if (p.bytes == 0) return;  // captions are no text to be compared
  std::vector<std::unique_ptr<HeldOutText>> texts;
  for (const auto& b : baselines)
    if (trained || !b->learns()) texts.push_back(b->held_out()), p.baselines.emplace_back(b->name(), NAN);
  Feeder feeder(team);
  const auto flush = [&] {
    feeder.flush(texts.size(), [&](size_t i, std::string_view text) { texts[i]->feed(text); }, [&](size_t i) { texts[i]->end_document(); });
    stop_if_asked();
  };
  for (const size_t d : p.members) {
    read_token_text(file, file.documents()[d], tokenizer, [&](std::string_view text) {
      feeder.add(text);
      meter.advance(double(text.size()));
      if (feeder.full()) flush();
    });
    feeder.end_document();
  }
  flush();
  for (size_t i = 0; i < texts.size(); ++i) p.baselines[i].second = texts[i]->bits_per_byte();
}

nlohmann::json number(double v) { return std::isfinite(v) ? nlohmann::json(v) : nlohmann::json(nullptr); }

nlohmann::json to_json(const EvaluatedPart& p) {
  nlohmann::json json = {{"name", p.name},         {"documents", p.documents}, {"tokens", p.tokens},
                         {"bytes", p.bytes},       {"loss", number(p.loss)},   {"perplexity", number(p.perplexity)},
                         {"bits_per_byte", number(p.bits_per_byte)}, {"baselines", nlohmann::json::array()}};
  for (const auto& [name, bits] : p.baselines) json["baselines"].push_back({{"name", name}, {"bits_per_byte", number(bits)}});
  return json;
}

}  // namespace

std::vector<std::vector<std::string>> domains_of(const std::vector<std::shared_ptr<const TokenFile>>& files, const TextTokenizer* tokenizer,
                                                 const std::function<std::string(const std::string&)>& language) {
  // What all paths begin with tells nothing.
  std::vector<std::string> common;
  bool first = true;
  for (const auto& file : files)
    for (const Document& d : file->documents()) {
      const std::vector<std::string> folders = folders_of(d.path);
      if (first) common = folders;
      const auto end = std::mismatch(common.begin(), common.end(), folders.begin(), folders.end()).first;
      common.erase(end, common.end());
      first = false;
    }
  // What is no text is measured by itself.
  Names names = kinds_of(files, tokenizer);
  if (!tells_apart(names)) names = named(files, [&](const std::string& path) {
    std::vector<std::string> folders = folders_of(path);
    folders.resize(std::min(folders.size(), common.size() + 1));
    fs::path name;
    for (const std::string& folder : folders) name /= folder;
    return name.empty() ? std::string(".") : name.string();
  });
  if (!tells_apart(names)) names = named(files, [&](const std::string& path) { return language(path).empty() ? "language unknown" : language(path); });
  if (!tells_apart(names)) names = named(files, ending_of);

  std::map<std::string, int64_t> bytes;
  for (size_t f = 0; f < files.size(); ++f)
    for (size_t d = 0; d < names[f].size(); ++d) bytes[names[f][d]] += files[f]->documents()[d].bytes;
  if (bytes.size() <= kDomains) return names;
  std::vector<std::pair<int64_t, std::string>> largest;
  for (const auto& [name, n] : bytes) largest.emplace_back(-n, name);
  std::sort(largest.begin(), largest.end());
  std::set<std::string> kept;
  for (size_t i = 0; i + 1 < kDomains; ++i) kept.insert(largest[i].second);
  for (auto& file : names)
    for (std::string& name : file)
      if (!kept.contains(name)) name = "others";
  return names;
}

std::vector<EvaluatedSplit> evaluate_files(const ModelAtWork& m, const std::vector<std::pair<std::string, std::shared_ptr<const TokenFile>>>& files,
                                           const std::vector<std::vector<std::string>>& domains, const Config& config, Communicator& world,
                                           const Stream& stream) {
  const int64_t T = std::min<int64_t>(m.model.max_position_embeddings, kTokensAtOnce);
  const PassSizes sizes{.batch = std::max<int64_t>(1, kTokensAtOnce / T), .seq_len = T, .dtype = m.inference_weights().dtype(), .training = false, .logits_at_once = logits_for(stream.device())};
  ArenaPlan plan;
  Transformer transformer(m.model, sizes, plan);
  BatchFeed feed(plan, sizes.batch, sizes.seq_len, true);
  const Arena arena(plan, stream.device());
  feed.bind(arena, stream);
  transformer.bind(arena, m.table, m.inference_weights(), View{}, stream);
  const double log2_vocabulary = std::log2(double(m.model.vocab_size));
  std::vector<EvaluatedSplit> splits;
  for (size_t f = 0; f < files.size(); ++f) {
    EvaluatedSplit& s = splits.emplace_back();
    s.file = files[f].second;
    const Evaluation e = evaluate(transformer, *s.file, 0, feed, world, stream,
                                  resolve_packing(config, m.model.type, {&s.file, 1}));
    std::vector<size_t> every(s.file->documents().size());
    for (size_t d = 0; d < every.size(); ++d) every[d] = d;
    const std::vector<bool> texts = texts_of(*s.file, m.tokenizer.get());
    s.all = {.name = files[f].first,
             .documents = int64_t(every.size()),
             .tokens = e.tokens,
             .bytes = e.source_bytes,
             .loss = e.loss(),
             .perplexity = e.perplexity(),
             .bits_per_byte = all_text(texts, every) ? e.bits_per_byte(m.model.vocab_size, s.file->size()) : NAN,
             .members = every};
    std::map<std::string, std::vector<size_t>> members;
    for (size_t d = 0; d < domains[f].size(); ++d) members[domains[f][d]].push_back(d);
    if (members.size() < 2) continue;
    for (auto& [name, documents] : members) s.domains.push_back(part(name, s, std::move(documents), e, texts, log2_vocabulary));
    std::stable_sort(s.domains.begin(), s.domains.end(), [](const EvaluatedPart& a, const EvaluatedPart& b) {
      return std::pair(a.name == "others", -a.bytes) < std::pair(b.name == "others", -b.bytes);
    });
  }
  return splits;
}

void add_baselines(const TextTokenizer& tokenizer, const TokenFile* training, std::vector<EvaluatedSplit>& splits, ThreadTeam& team, bool show) {
  int64_t total = training ? std::min(training->source_bytes(), kTrainingText) : 0, largest = 0;
  for (const EvaluatedSplit& s : splits) {
    total += s.file->source_bytes() * (s.domains.empty() ? 1 : 2);
    largest = std::max(largest, s.file->source_bytes());
  }
  WorkMeter meter("baselines", double(total), true, "", {.quiet = !show});
  const auto baselines = all_baselines(largest);
  if (training) {
    std::vector<Baseline*> learners;
    for (const auto& b : baselines)
      if (b->learns()) learners.push_back(b.get());
    Feeder feeder(team);
    const auto flush = [&] {
      feeder.flush(learners.size(), [&](size_t i, std::string_view text) { learners[i]->train(text); }, [&](size_t i) { learners[i]->end_document(); });
      stop_if_asked();
    };
    int64_t taken = 0;
    for (const Document& d : training->documents()) {
      if (taken >= kTrainingText) break;
      read_token_text(*training, d, tokenizer, [&](std::string_view text) {
        if (taken >= kTrainingText) return;
        taken += int64_t(text.size());
        feeder.add(text);
        meter.advance(double(text.size()));
        if (feeder.full()) flush();
      });
      feeder.end_document();
    }
    flush();
  }
  for (EvaluatedSplit& s : splits) {
    score(tokenizer, baselines, training, *s.file, s.all, team, meter);
    for (EvaluatedPart& domain : s.domains) score(tokenizer, baselines, training, *s.file, domain, team, meter);
  }
  meter.finish();
}

nlohmann::json to_json(const EvaluatedSplit& split) {
  nlohmann::json json = to_json(split.all);
  json["file"] = split.file->path().string();
  json["domains"] = nlohmann::json::array();
  for (const EvaluatedPart& domain : split.domains) json["domains"].push_back(to_json(domain));
  return json;
}

std::string evaluation_table(const std::vector<EvaluatedSplit>& splits) {
  std::vector<std::string> others;
  for (const EvaluatedSplit& s : splits)
    for (const auto& b : s.all.baselines)
      if (std::find(others.begin(), others.end(), b.first) == others.end()) others.push_back(b.first);
  const auto real = [](double v, int places) { return std::isfinite(v) ? fmt::format("{:.{}f}", v, places) : std::string("-"); };
  std::string text = fmt::format("{:<28} {:>9} {:>11} {:>8} {:>10} {:>9}", "held-out text", "documents", "bytes", "loss", "perplexity", "bits/byte");
  for (const std::string& name : others) text += fmt::format(" {:>{}}", name, std::max<size_t>(name.size(), 7));
  text += '\n';
  const auto row = [&](const EvaluatedPart& p, std::string_view indent) {
    std::string name = std::string(indent) + p.name;
    if (name.size() > 28) name = name.substr(0, 25) + "...";
    text += fmt::format("{:<28} {:>9} {:>11} {:>8} {:>10} {:>9}", name, p.documents, p.bytes, real(p.loss, 4), real(p.perplexity, 2), real(p.bits_per_byte, 3));
    for (const std::string& other : others) {
      double bits = NAN;
      for (const auto& b : p.baselines)
        if (b.first == other) bits = b.second;
      text += fmt::format(" {:>{}}", real(bits, 3), std::max<size_t>(other.size(), 7));
    }
    text += '\n';
  };
  for (const EvaluatedSplit& s : splits) {
    row(s.all, "");
    for (const EvaluatedPart& domain : s.domains) row(domain, "  ");
  }
  text.pop_back();
  return text;
}

}  // namespace tw
