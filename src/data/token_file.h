// Token files: one contiguous dataset of u16 or u32 ids, memory-mapped, with a document index and
// provenance. Format: docs/token_file.md.
#pragma once
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "src/core/file.h"

namespace tw {

// The document a token range came from.
struct Document {
  int64_t first_token = 0, tokens = 0;  // [first_token, first_token + tokens), end-of-document token included
  std::string path;      // relative to the scanned folder
  std::string sha256;    // of the source file
  std::string licence;   // "" if not known
  int64_t bytes = 0;     // of the text that was tokenised
};

class TokenFile {
 public:
  // Opens our HDF5 token file, or a raw file of little-endian ids: ".u16"/".u32" or `raw_bits` 16 or 32 for any
  // name (then one document, no provenance). Error(no_input) where it cannot be read. Sizes, types and the document
  // index are checked always, the tokens (checksum, every id below vocab_size) with `verify`: Error(data).
  static std::shared_ptr<const TokenFile> open(const std::filesystem::path& path, int raw_bits = 0, bool verify = false);

  int64_t size() const noexcept { return size_; }  // tokens
  int32_t operator[](int64_t i) const noexcept {
    return bits_ == 16 ? int32_t(reinterpret_cast<const uint16_t*>(tokens_)[i])
                       : int32_t(reinterpret_cast<const uint32_t*>(tokens_)[i]);
  }
  int bits() const noexcept { return bits_; }            // 16 or 32
  int64_t vocab_size() const noexcept { return vocab_; } // 0 = unknown (raw file)
  int32_t eod() const noexcept { return eod_; }          // id behind each document; -1 = none, or unknown (raw file)
  int64_t source_bytes() const noexcept { return source_bytes_; }  // text bytes behind the tokens; 0 = unknown
  const std::string& tokenizer_hash() const noexcept { return tokenizer_hash_; }
  // XXH3-64 of the tokens' bytes, hex. Of a raw file above 256 MiB: "sampled-" and the sum of 4096 pieces of it.
  const std::string& checksum() const noexcept { return checksum_; }
  const std::vector<Document>& documents() const noexcept { return documents_; }
  // Ranges of tokens that are read but not to be predicted (what is asked in a conversation), in order.
  struct Range {
    int64_t begin = 0, end = 0;
  };
  const std::vector<Range>& untrained() const noexcept { return untrained_; }
  // Calls visit(i) for each token of [begin, end) that is not to be predicted.
  template <class Visit>
  void for_untrained(int64_t begin, int64_t end, Visit&& visit) const {
    auto r = std::partition_point(untrained_.begin(), untrained_.end(), [&](const Range& range) { return range.end <= begin; });
    for (; r != untrained_.end() && r->begin < end; ++r)
      for (int64_t i = std::max(r->begin, begin); i < std::min(r->end, end); ++i) visit(i);
  }
  const Document& document_of(int64_t token) const;      // Error(bug) out of range
  const std::filesystem::path& path() const noexcept { return path_; }
  // Reads every token: Error(data) names the first that is not below vocab_size, or the wrong checksum.
  void verify() const;

 private:
  void open_raw();
  void open_hdf5();
  std::filesystem::path path_;
  MappedFile map_;
  const unsigned char* tokens_ = nullptr;
  int64_t size_ = 0, vocab_ = 0, source_bytes_ = 0;
  int bits_ = 16;
  int32_t eod_ = -1;
  std::string tokenizer_hash_, checksum_;
  std::vector<Document> documents_;
  std::vector<Range> untrained_;
};

// Writes a token file; it appears under its name only when finish() succeeded, flushed to the disk. Tokens go to the
// disk at once, so memory grows with the documents (their index) and not with the tokens.
class TokenFileWriter {
 public:
  // u16 where vocab_size fits, else u32. eod: the id behind each document, which the caller writes; -1 = none. Equal
  // calls give equal bytes. Error(cannot_create).
  TokenFileWriter(const std::filesystem::path& path, int64_t vocab_size, std::string tokenizer_hash, int32_t eod = -1);
  ~TokenFileWriter();  // removes the unfinished file
  // A whole document. first_token and tokens are filled in here. Error(io) where the disk is full, Error(bug) where an
  // id is not below vocab_size.
  void add(const Document& document, const std::vector<int32_t>& ids);
  // A document in parts: begin, append as often as needed, end (with the number of text bytes in document.bytes).
  void append(const std::vector<int32_t>& ids);
  void end_document(const Document& document);
  // The tokens from `begin` on, up to those written so far, are not to be predicted. Calls come in order.
  void leave_untrained(int64_t begin, int64_t end);
  int64_t tokens() const noexcept;  // written so far
  // Error(data) where there are no tokens, Error(io).
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tw
