#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>

#include "src/core/error.h"
#include "src/core/fault.h"
#include "src/core/hash.h"
#include "src/data/token_file.h"
#include "src/data/token_file_format.h"
#include "src/hdf5/h5.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBufferBytes = size_t(1) << 20;
constexpr int64_t kAlignment = 64;  // of every dataset, in bytes: a cache line

struct Index {
  std::vector<int64_t> end, bytes, path_end, licence_end, untrained, untrained_end;
  std::vector<unsigned char> sha;  // (documents, 32)
  std::string path, licence;
};

// The tokens of a file come first, at a place that does not depend on their number: HDF5 gives it to them in an empty
// file. Everything else is laid out behind them.
struct Layout {
  h5::File file;
  int64_t tokens_offset = 0;
};
Layout lay_out(const fs::path& path, int64_t tokens, int64_t vocab) {
  Layout layout{h5::create_to_write(path, kAlignment)};
  layout.tokens_offset =
      h5::lay_out_contiguous(layout.file, kTokensName, vocab <= 65536 ? H5T_STD_U16LE : H5T_STD_U32LE, {tokens});
  return layout;
}

void copy_bytes(int from, int to, int64_t begin, int64_t end, const fs::path& from_path, const fs::path& to_path) {
  std::vector<char> buffer(kBufferBytes);
  for (int64_t at = begin; at < end; at += int64_t(buffer.size())) {
    const size_t n = size_t(std::min(end - at, int64_t(buffer.size())));
    read_exactly(from, buffer.data(), n, at, from_path);
    write_exactly(to, buffer.data(), n, at, to_path);
  }
}

}  // namespace

struct TokenFileWriter::State {
  fs::path path, temporary, layout;  // layout: the empty file HDF5 makes
  int64_t vocab = 0, width = 2, offset = 0, tokens = 0, source_bytes = 0;
  int32_t eod = -1;
  std::string tokenizer;
  FileDescriptor fd;
  Xxh3 sum;
  std::vector<unsigned char> buffer;
  int64_t flushed = 0;  // bytes
  Index index;
  bool failed = false, finished = false;

  ~State() {
    fd.reset();
    ::unlink(layout.c_str());
    if (!finished) ::unlink(temporary.c_str());
  }
  void flush() {
    sum.update(buffer.data(), buffer.size());
    write_exactly(fd.get(), buffer.data(), buffer.size(), offset + flushed, temporary);
    flushed += int64_t(buffer.size());
    buffer.clear();
  }
  void append(const std::vector<int32_t>& ids);
  void write_index(h5::File& file);
  void finish();
};

void TokenFileWriter::State::append(const std::vector<int32_t>& ids) {
  for (const int32_t id : ids) {
    TW_CHECK(id >= 0 && id < vocab, bug, "token {} written to {}, whose vocabulary has {} tokens", id, path.string(), vocab);
    const size_t at = buffer.size();
    buffer.resize(at + size_t(width));
    std::memcpy(buffer.data() + at, &id, size_t(width));  // little endian: the low bytes come first
    if (buffer.size() >= kBufferBytes) flush();
  }
  tokens += int64_t(ids.size());
}

// Document columns behind the tokens, and the attributes.
void TokenFileWriter::State::write_index(h5::File& file) {
  struct Piece {
    int64_t offset;
    const void* data;
    size_t bytes;
  };
  std::vector<Piece> pieces;
  Xxh3 index_sum;
  const auto column = [&](const char* name, hid_t type, std::vector<int64_t> shape, const void* data, size_t bytes) {
    pieces.push_back({h5::lay_out_contiguous(file, name, type, shape), data, bytes});
    index_sum.update(data, bytes);
  };
  const int64_t n = int64_t(index.end.size());
  column(kEndName, H5T_STD_I64LE, {n}, index.end.data(), size_t(n) * 8);
  column(kBytesName, H5T_STD_I64LE, {n}, index.bytes.data(), size_t(n) * 8);
  column(kShaName, H5T_STD_U8LE, {n, 32}, index.sha.data(), index.sha.size());
  column(kPathName, H5T_STD_U8LE, {int64_t(index.path.size())}, index.path.data(), index.path.size());
  column(kPathEndName, H5T_STD_I64LE, {n}, index.path_end.data(), size_t(n) * 8);
  column(kLicenceName, H5T_STD_U8LE, {int64_t(index.licence.size())}, index.licence.data(), index.licence.size());
  column(kLicenceEndName, H5T_STD_I64LE, {n}, index.licence_end.data(), size_t(n) * 8);
  if (const auto ranges = int64_t(index.untrained.size())) {
    column(kUntrainedName, H5T_STD_I64LE, {ranges}, index.untrained.data(), size_t(ranges) * 8);
    column(kUntrainedEndName, H5T_STD_I64LE, {ranges}, index.untrained_end.data(), size_t(ranges) * 8);
  }
  h5::write_text(file, kFormatName, kFormat);
  h5::write_int(file, kVersionName, index.untrained.empty() ? kVersion - 1 : kVersion);
  h5::write_text(file, kTokenizerName, tokenizer);
  h5::write_int(file, kVocabName, vocab);
  h5::write_int(file, kEodName, eod);
  h5::write_int(file, kSourceBytesName, source_bytes);
  h5::write_text(file, kSumName, hex(sum.value()));
  h5::write_text(file, kIndexSumName, hex(index_sum.value()));
  h5::check(H5Fclose(file.release()), "closing " + layout.string());

  const FileDescriptor made(::open(layout.c_str(), O_RDWR | O_CLOEXEC));
  TW_CHECK(made, io, "cannot open {}: {}", layout.string(), std::strerror(errno));
  const int64_t size = tw::file_size(layout);
  copy_bytes(made.get(), fd.get(), 0, offset, layout, temporary);
  copy_bytes(made.get(), fd.get(), offset + tokens * width, size, layout, temporary);
  for (const Piece& p : pieces) write_exactly(fd.get(), p.data, p.bytes, p.offset, temporary);
  // No bytes where HDF5 left the end of the file unwritten.
  TW_CHECK(::ftruncate(fd.get(), size) == 0, io, "cannot give {} its size of {} bytes: {}", temporary.string(), size,
           std::strerror(errno));
}

void TokenFileWriter::State::finish() {
  TW_CHECK(tokens > 0, data, "no tokens for {}", path.string());
  TW_CHECK(index.end.size() > 0 && index.end.back() == tokens, bug, "the last document of {} was not ended", path.string());
  flush();
  {
    const std::lock_guard lock(h5::library_mutex());
    const h5::Silence silence;
    Layout made = lay_out(layout, tokens, vocab);
    TW_CHECK(made.tokens_offset == offset, bug, "HDF5 puts tokens at byte {} instead of {} of {}", made.tokens_offset, offset,
             path.string());
    write_index(made.file);
  }
  flush_to_disk(fd.get(), temporary);
  fd.reset();
  ::unlink(layout.c_str());
  rename_file(temporary, path);
  finished = true;
  fsync_path(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

TokenFileWriter::TokenFileWriter(const fs::path& path, int64_t vocab_size, std::string tokenizer_hash, int32_t eod)
    : state_(std::make_unique<State>()) {
  TW_CHECK(vocab_size >= 1 && vocab_size <= int64_t(1) << 31, bug, "{}: a vocabulary of {} tokens", path.string(), vocab_size);
  TW_CHECK(eod >= -1 && eod < vocab_size, bug, "{}: end-of-document token {} of {}", path.string(), eod, vocab_size);
  State& s = *state_;
  s.path = path;
  s.temporary = path.string() + ".tmp." + std::to_string(::getpid());
  s.layout = s.temporary.string() + ".layout";
  s.vocab = vocab_size;
  s.eod = eod;
  s.width = vocab_size <= 65536 ? 2 : 4;
  s.tokenizer = std::move(tokenizer_hash);
  s.fd = open_to_write(s.temporary);
  s.buffer.reserve(kBufferBytes + 4);
  const std::lock_guard lock(h5::library_mutex());
  const h5::Silence silence;
  s.offset = lay_out(s.layout, 1, vocab_size).tokens_offset;
}

TokenFileWriter::~TokenFileWriter() = default;

void TokenFileWriter::append(const std::vector<int32_t>& ids) {
  State& s = *state_;
  TW_CHECK(!s.failed && !s.finished, bug, "tokens added to {} after its end", s.path.string());
  s.failed = true;  // unless this call gets through
  s.append(ids);
  s.failed = false;
}

void TokenFileWriter::end_document(const Document& document) {
  State& s = *state_;
  TW_CHECK(document.sha256.size() == 64, bug, "document {} has the SHA-256 \"{}\"", document.path, document.sha256);
  for (size_t i = 0; i < 64; i += 2) {
    unsigned char byte = 0;
    const char* digits = document.sha256.data() + i;
    TW_CHECK(std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2, bug, "document {} has the SHA-256 \"{}\"",
             document.path, document.sha256);
    s.index.sha.push_back(byte);
  }
  s.index.path += document.path;
  s.index.licence += document.licence;
  s.index.end.push_back(s.tokens);
  s.index.bytes.push_back(document.bytes);
  s.index.path_end.push_back(int64_t(s.index.path.size()));
  s.index.licence_end.push_back(int64_t(s.index.licence.size()));
  s.source_bytes += document.bytes;
}

void TokenFileWriter::leave_untrained(int64_t begin, int64_t end) {
  Index& index = state_->index;
  TW_CHECK(begin >= (index.untrained_end.empty() ? 0 : index.untrained_end.back()) && end > begin && end <= state_->tokens, bug, "untrained tokens [{}, {}) of {}", begin, end, state_->tokens);
  if (!index.untrained_end.empty() && index.untrained_end.back() == begin) {
    index.untrained_end.back() = end;
    return;
  }
  index.untrained.push_back(begin);
  index.untrained_end.push_back(end);
}

void TokenFileWriter::add(const Document& document, const std::vector<int32_t>& ids) {
  append(ids);
  end_document(document);
}

int64_t TokenFileWriter::tokens() const noexcept { return state_->tokens; }

void TokenFileWriter::finish() {
  State& s = *state_;
  TW_CHECK(!s.failed && !s.finished, bug, "{} finished after its end", s.path.string());
  s.failed = true;  // unless this call gets through
  s.finish();
  s.failed = false;
}

}  // namespace tw
