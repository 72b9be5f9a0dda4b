// tokens/tokens.json: what the token files were made from, so that a later call knows whether they are still right.
#pragma once
#include <filesystem>
#include <optional>

#include "src/data/tokenize.h"

namespace tw {

struct TokensRecord {
  std::string inventory;       // its fingerprint
  std::string tokenizer_file;  // options.tokenizer, "" = trained
  std::string tokenizer_hash;
  int32_t vocab_size = 0;      // asked for
  std::string eos_token;
  bool append_eod = true;
  std::array<SplitTokens, 3> splits;
  std::vector<CodecMeasures> codecs;
  std::vector<std::string> left_out;  // files that changed since the scan: they may be back, so the work is done again

  // Made from the same files with the same options, none left out.
  bool same_request(const TokensRecord& other) const;
};

void write_tokens_record(const TokensRecord& record, const std::filesystem::path& path);
// Nothing where there is none, or none that can be read: then the work is done again.
std::optional<TokensRecord> read_tokens_record(const std::filesystem::path& path);

}  // namespace tw
