#include "src/data/token_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "src/core/error.h"
#include "src/core/hash.h"
#include "src/data/token_file_format.h"
#include "src/hdf5/reader.h"

namespace tw {
namespace fs = std::filesystem;
static_assert(std::endian::native == std::endian::little, "ids are stored as they lie in memory");
namespace {

constexpr int64_t kWholeSum = int64_t(256) << 20;  // raw files up to this size are summed whole when opened
constexpr int64_t kPieces = 4096, kPieceBytes = 4096;

std::string raw_checksum(const unsigned char* data, int64_t bytes) {
  if (bytes <= kWholeSum) return hex(xxh3(data, size_t(bytes)));
  Xxh3 sum;
  sum.update(&bytes, sizeof bytes);
  const int64_t step = (bytes - kPieceBytes) / (kPieces - 1);
  for (int64_t i = 0; i < kPieces; ++i) sum.update(data + i * step, size_t(kPieceBytes));
  return "sampled-" + hex(sum.value());
}

// A column of the document index, read from the mapping.
struct Column {
  const unsigned char* data = nullptr;
  int64_t count = 0;
  int64_t number(int64_t i) const {
    int64_t v;
    std::memcpy(&v, data + i * 8, 8);
    return v;
  }
};

// Texts that stand one behind the other, and where each ends.
class Texts {
 public:
  Texts(const Column& bytes, const Column& ends, const std::string& name, const fs::path& path)
      : bytes_(bytes), ends_(ends), name_(name), path_(path) {}
  std::string next(int64_t i) {
    const int64_t end = ends_.number(i), begin = end_;
    TW_CHECK(end >= begin && end <= bytes_.count, data, "{} is damaged: {}_end of document {} is {}, which is not between {} and {}",
             path_.string(), name_, i, end, begin, bytes_.count);
    end_ = end;
    return {reinterpret_cast<const char*>(bytes_.data) + begin, size_t(end - begin)};
  }

 private:
  Column bytes_, ends_;
  std::string name_;
  const fs::path& path_;
  int64_t end_ = 0;
};

std::string hex_digits(const unsigned char* p, size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += fmt::format("{:02x}", p[i]);
  return text;
}

}  // namespace

std::shared_ptr<const TokenFile> TokenFile::open(const fs::path& path, int raw_bits, bool verify) {
  TW_CHECK(raw_bits == 0 || raw_bits == 16 || raw_bits == 32, config, "data.raw_bits is {}; it must be 0, 16 or 32", raw_bits);
  struct stat s {};
  TW_CHECK(::stat(path.c_str(), &s) == 0, no_input, "cannot read {}: {}", path.string(), std::strerror(errno));
  TW_CHECK(S_ISREG(s.st_mode), no_input, "cannot read {}: it is not a regular file", path.string());
  TW_CHECK(s.st_size > 0, data, "{} is empty: it holds no tokens", path.string());
  auto file = std::make_shared<TokenFile>();
  file->path_ = path;
  const std::string end = path.extension().string();
  file->bits_ = raw_bits ? raw_bits : end == ".u16" ? 16 : end == ".u32" ? 32 : 0;
  if (file->bits_) {
    file->open_raw();
  } else {
    file->open_hdf5();
  }
  if (verify) file->verify();
  return file;
}

void TokenFile::open_raw() {
  map_ = MappedFile(path_);
  const int64_t bytes = int64_t(map_.size()), width = bits_ / 8;
  TW_CHECK(bytes > 0 && bytes % width == 0, data, "{} has {} bytes, which is no whole number of {}-bit ids", path_.string(),
           bytes, bits_);
  tokens_ = map_.data();
  size_ = bytes / width;
  checksum_ = raw_checksum(tokens_, bytes);
  Document whole;
  whole.tokens = size_;
  whole.path = path_.filename().string();
  documents_.push_back(std::move(whole));
}

void TokenFile::open_hdf5() {
  map_ = MappedFile(path_);
  const h5::Reader file(map_.text(), path_);
  TW_CHECK(file.has_dataset(kTokensName), data,
           "{} is an HDF5 file, but no token file: it has no dataset \"{}\". Token files are made by `tokenwerk "
           "tokenize`; for a file of plain ids set data.raw_bits",
           path_.string(), kTokensName);
  const std::string format = file.read_text(kFormatName);
  const int64_t version = file.read_int(kVersionName);
  TW_CHECK(format == kFormat && version >= 1 && version <= kVersion, data,
           "{} is a \"{:.40}\" of version {}; this program reads \"{}\" up to version {}", path_.string(), format, version,
           kFormat, kVersion);
  vocab_ = file.read_int(kVocabName);
  source_bytes_ = file.read_int(kSourceBytesName);
  tokenizer_hash_ = file.read_text(kTokenizerName);
  const int64_t eod = version == 1 ? -1 : file.read_int(kEodName);
  checksum_ = file.read_text(kSumName);
  const std::string index_sum = file.read_text(kIndexSumName);

  const h5::Extent tokens = file.find_contiguous(kTokensName, 1, {h5::Element::u16, h5::Element::u32});
  bits_ = size_of(tokens.element) * 8;
  size_ = tokens.shape[0];
  TW_CHECK(size_ > 0, data, "{} holds no tokens", path_.string());
  TW_CHECK(vocab_ >= 1 && vocab_ <= (bits_ == 16 ? 65536 : int64_t(1) << 31) && source_bytes_ >= 0, data,
           "{} is damaged: vocab_size {} and source_bytes {} cannot be", path_.string(), vocab_, source_bytes_);
  TW_CHECK(eod >= -1 && eod < vocab_, data, "{} is damaged: its end-of-document token {} is not below {}", path_.string(), eod,
           vocab_);
  eod_ = int32_t(eod);
  TW_CHECK(tokens.offset % size_of(tokens.element) == 0, data, "{}: \"{}\" starts at the odd byte {}", path_.string(),
           kTokensName, tokens.offset);

  Xxh3 sum;
  int64_t count = -1;
  const auto column = [&](const char* name, int rank, h5::Element element, int64_t rows) {
    const h5::Extent e = file.find_contiguous(name, rank, {element});
    if (rows >= 0)
      TW_CHECK(e.shape[0] == rows, data, "{} is damaged: \"{}\" has {} rows instead of {}", path_.string(), name,
               e.shape[0], rows);
    if (rank == 2) TW_CHECK(e.shape[1] == 32, data, "{}: \"{}\" has {} columns instead of 32", path_.string(), name, e.shape[1]);
    sum.update(map_.data() + e.offset, size_t(e.bytes()));
    return Column{map_.data() + e.offset, e.shape[0]};
  };
  tokens_ = map_.data() + tokens.offset;
  const Column ends = column(kEndName, 1, h5::Element::i64, -1);
  count = ends.count;
  const Column bytes = column(kBytesName, 1, h5::Element::i64, count);
  const Column sha = column(kShaName, 2, h5::Element::u8, count);
  const Column path_text = column(kPathName, 1, h5::Element::u8, -1), path_end = column(kPathEndName, 1, h5::Element::i64, count);
  const Column licence_text = column(kLicenceName, 1, h5::Element::u8, -1),
               licence_end = column(kLicenceEndName, 1, h5::Element::i64, count);
  Column untrained, untrained_end;
  if (version >= 3) {
    untrained = column(kUntrainedName, 1, h5::Element::i64, -1);
    untrained_end = column(kUntrainedEndName, 1, h5::Element::i64, untrained.count);
  }
  TW_CHECK(hex(sum.value()) == index_sum, data, "{} is damaged: the checksum of its document index is {} instead of {:.16}",
           path_.string(), hex(sum.value()), index_sum);

  Texts paths(path_text, path_end, kPathName, path_), licences(licence_text, licence_end, kLicenceName, path_);
  int64_t begin = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t end = ends.number(i);
    TW_CHECK(end >= begin && end <= size_ && bytes.number(i) >= 0, data,
             "{} is damaged: document {} ends at token {}, which is not between {} and {}", path_.string(), i, end, begin,
             size_);
    documents_.push_back({begin, end - begin, paths.next(i), hex_digits(sha.data + i * 32, 32), licences.next(i), bytes.number(i)});
    begin = end;
  }
  for (int64_t i = 0, last = 0; i < untrained.count; ++i) {
    const Range r{untrained.number(i), untrained_end.number(i)};
    TW_CHECK(r.begin >= last && r.end > r.begin && r.end <= size_, data, "{} is damaged: its untrained range {} is [{}, {})", path_.string(), i, r.begin, r.end);
    untrained_.push_back(r);
    last = r.end;
  }
  TW_CHECK(begin == size_, data, "{} is damaged: its documents end at token {} of {}", path_.string(), begin, size_);
}

void TokenFile::verify() const {
  const int64_t bound = vocab_ > 0 ? vocab_ : int64_t(1) << 31;
  for (int64_t i = 0; i < size_; ++i)
    TW_CHECK(uint32_t((*this)[i]) < uint64_t(bound), data, "{} holds token {} at position {}, but the vocabulary has {} tokens",
             path_.string(), uint32_t((*this)[i]), i, bound);
  const std::string sum = vocab_ > 0 ? hex(xxh3(tokens_, size_t(size_ * bits_ / 8))) : raw_checksum(tokens_, size_ * bits_ / 8);
  TW_CHECK(sum == checksum_, data, "{} is damaged: the checksum of its tokens is {} instead of {:.24}", path_.string(), sum,
           checksum_);
}

const Document& TokenFile::document_of(int64_t token) const {
  TW_CHECK(token >= 0 && token < size_, bug, "token {} of {} asked for in {}", token, size_, path_.string());
  // The first document that ends behind it; empty documents hold no token.
  return *std::upper_bound(documents_.begin(), documents_.end(), token,
                           [](int64_t t, const Document& d) { return t < d.first_token + d.tokens; });
}

}  // namespace tw
