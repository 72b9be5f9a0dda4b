// Token ids of others to a token file.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

namespace tw {

struct ImportTokens {
  std::filesystem::path from;  // an HDF5 file of any kind
  std::filesystem::path out;   // token file
  std::string dataset;         // "" = the only one that can be meant
  std::string tokenizer;       // whose ids they are; "" = unknown, then vocab_size must be given
  int64_t vocab_size = 0, eod = -1;
};
bool is_hdf5_name(const std::filesystem::path& path);  // .h5, .hdf5, .hdf
// What it did, for people. Error(data) names the first id that is not below the vocabulary's size; nothing is left then.
struct ImportedTokens {
  int64_t tokens = 0, documents = 0, vocab_size = 0;
};
ImportedTokens import_tokens(const ImportTokens& job);

}  // namespace tw
