#include "src/data/tokens_record.h"

#include <cmath>

#include "src/codec/text/json_fields.h"
#include "src/core/file.h"

namespace tw {
namespace {
constexpr int kVersion = 1;
}

bool TokensRecord::same_request(const TokensRecord& other) const {
  return left_out.empty() && inventory == other.inventory && tokenizer_file == other.tokenizer_file &&
         vocab_size == other.vocab_size && eos_token == other.eos_token && append_eod == other.append_eod;
}

void write_tokens_record(const TokensRecord& r, const std::filesystem::path& path) {
  nlohmann::json splits = nlohmann::json::object();
  for (const Split split : kSplits) {
    const SplitTokens& s = r.splits[size_t(split)];
    if (s.documents == 0) continue;
    splits[name_of(split)] = {{"file", s.file.filename().string()},
                              {"documents", s.documents},
                              {"tokens", s.tokens},
                              {"bytes", s.bytes},
                              {"checksum", s.checksum},
                              {"seconds", s.seconds},
                              {"text_seconds", s.text_seconds},
                              {"coded", nlohmann::json::array()}};
    for (const CodedTokens& c : s.coded)
      splits[name_of(split)]["coded"].push_back(
          {{"kind", c.kind}, {"files", c.files}, {"documents", c.documents}, {"tokens", c.tokens}, {"bytes", c.bytes}, {"seconds", c.seconds}});
  }
  nlohmann::json codecs = nlohmann::json::array();
  for (const CodecMeasures& c : r.codecs) {
    nlohmann::json measures = nlohmann::json::array();
    for (const CodecQuality& q : c.measures)
      measures.push_back({{"metric", q.metric}, {"value", q.value}, {"baseline_name", q.baseline_name}, {"baseline", q.baseline}, {"lossless", q.lossless}});
    codecs.push_back({{"kind", c.kind}, {"split", name_of(c.split)}, {"files", c.files}, {"measures", std::move(measures)}});
  }
  const nlohmann::json out = {{"version", kVersion},
                              {"inventory", r.inventory},
                              {"tokenizer_file", r.tokenizer_file},
                              {"tokenizer_hash", r.tokenizer_hash},
                              {"vocab_size", r.vocab_size},
                              {"eos_token", r.eos_token},
                              {"append_eod", r.append_eod},
                              {"splits", std::move(splits)},
                              {"codecs", std::move(codecs)},
                              {"left_out", r.left_out}};
  write_file_atomically(path, out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

std::optional<TokensRecord> read_tokens_record(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const std::string text = read_file(path, 1 << 20), file = path.string();
    check_json_structure(text, {.depth = 8, .values = 1 << 12}, file);
    const nlohmann::json json = nlohmann::json::parse(text);
    const JsonNode root(json, file);
    if (root["version"].whole(1 << 20) != kVersion) return std::nullopt;
    TokensRecord r;
    r.inventory = root["inventory"].text();
    r.tokenizer_file = root["tokenizer_file"].text();
    r.tokenizer_hash = root["tokenizer_hash"].text();
    r.vocab_size = int32_t(root["vocab_size"].whole(int64_t(1) << 31));
    r.eos_token = root["eos_token"].text();
    r.append_eod = root.flag_or("append_eod", true);
    for (size_t i = 0; i < root["left_out"].size(); ++i) r.left_out.push_back(root["left_out"].at(i).text());
    const auto number = [](const JsonNode& node) { return node.raw().is_number() ? node.raw().get<double>() : NAN; };
    for (size_t i = 0; root.has("codecs") && i < root["codecs"].size(); ++i) {
      const JsonNode node = root["codecs"].at(i);
      CodecMeasures c{.kind = node["kind"].text(), .files = node["files"].whole(int64_t(1) << 62), .measures = {}};
      for (const Split split : kSplits)
        if (node["split"].text() == name_of(split)) c.split = split;
      for (size_t k = 0; k < node["measures"].size(); ++k) {
        const JsonNode m = node["measures"].at(k);
        c.measures.push_back({m["metric"].text(), number(m["value"]), m["baseline_name"].text(), number(m["baseline"]), m.flag_or("lossless", false)});
      }
      r.codecs.push_back(std::move(c));
    }
    for (const Split split : kSplits) {
      if (!root["splits"].has(name_of(split))) continue;
      const JsonNode node = root["splits"][name_of(split)];
      SplitTokens& s = r.splits[size_t(split)];
      constexpr int64_t kMost = int64_t(1) << 62;
      s.documents = node["documents"].whole(kMost);
      s.tokens = node["tokens"].whole(kMost);
      s.bytes = node["bytes"].whole(kMost);
      s.checksum = node.text_or("checksum", "");
      for (size_t i = 0; node.has("coded") && i < node["coded"].size(); ++i) {
        const JsonNode c = node["coded"].at(i);
        s.coded.push_back({c["kind"].text(), c["files"].whole(kMost), c["documents"].whole(kMost), c["tokens"].whole(kMost), c["bytes"].whole(kMost)});
        if (c.has("seconds") && c["seconds"].raw().is_number()) s.coded.back().seconds = c["seconds"].raw().get<double>();
      }
      if (node["seconds"].raw().is_number()) s.seconds = node["seconds"].raw().get<double>();
      if (node.has("text_seconds") && node["text_seconds"].raw().is_number()) s.text_seconds = node["text_seconds"].raw().get<double>();
    }
    return r;
  } catch (const Error&) {
    return std::nullopt;
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

}  // namespace tw
