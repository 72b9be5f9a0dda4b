#include "src/data/tokenize.h"

#include <algorithm>
#include <memory>
#include <span>

#include "src/codec/text/bpe_trainer.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/thread_team.h"
#include "src/data/document_text.h"
#include "src/data/token_file.h"
#include "src/data/tokens_record.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBlock = size_t(1) << 20;        // text encoded at a time
constexpr int64_t kGroupBytes = int64_t(16) << 20;  // files encoded side by side, in all
constexpr const char* kPhases[] = {"tokenize train", "tokenize val", "tokenize test"};

using Files = std::vector<const ScannedFile*>;

class Tokenizing {
 public:
  Tokenizing(const Inventory& inventory, const TokenizeOptions& options)
      : inventory_(inventory), options_(options), team_(std::max(1, options.threads)) {
    for (const ScannedFile& f : inventory.files)
      if (f.state == FileState::used) files_[size_t(f.split)].push_back(&f);
    request_.inventory = inventory.fingerprint();
    request_.tokenizer_file = options.tokenizer.string();
    request_.vocab_size = options.vocab_size;
    request_.eos_token = options.eos_token;
    request_.append_eod = options.append_eod;
    TW_CHECK(!files_[size_t(Split::train)].empty(), data, "no file of {} is in the train split: nothing can be trained on",
             inventory.folder.string());
  }
  TokenizeResult run();

 private:
  void make_tokenizer();
  std::unique_ptr<TextTokenizer> train_tokenizer();
  bool keep(Split split, const SplitTokens& earlier);
  void encode_split(Split split);
  void encode_large(const ScannedFile& file, TokenFileWriter& writer, SplitTokens& out);
  void encode_group(std::span<const ScannedFile* const> group, TokenFileWriter& writer, SplitTokens& out);
  void begin(const char* phase, const Files& files) {
    progress_ = {.phase = phase, .total_files = int64_t(files.size())};
    for (const ScannedFile* f : files) progress_.total_bytes += f->bytes;
  }
  void done(const ScannedFile& file) {
    ++progress_.files;
    progress_.bytes += file.bytes;
    if (options_.progress) options_.progress(progress_);
  }
  void leave_out(const ScannedFile& file, const std::string& reason) {
    const std::string line = file.path + ": " + reason;
    if (std::find(result_.left_out.begin(), result_.left_out.end(), line) == result_.left_out.end())
      result_.left_out.push_back(line);
  }
  Document document_of(const ScannedFile& file) const {
    Document d;
    d.path = file.path, d.sha256 = file.sha256, d.licence = file.licence;
    return d;
  }

  const Inventory& inventory_;
  const TokenizeOptions& options_;
  ThreadTeam team_;
  std::array<Files, 3> files_;
  TokensRecord request_;
  std::optional<TokensRecord> earlier_;  // of the same request
  std::unique_ptr<TextTokenizer> tokenizer_;
  int32_t eod_ = -1;
  bool certain_ = false;
  TokenizeProgress progress_;
  TokenizeResult result_;
};

constexpr const char* kChanged = "changed since the scan, left out until the folder is scanned again";

std::unique_ptr<TextTokenizer> Tokenizing::train_tokenizer() {
  const Files& files = files_[size_t(Split::train)];
  begin("train tokenizer", files);
  BpeTrainer trainer({.vocab_size = options_.vocab_size, .special_tokens = {options_.eos_token}, .threads = options_.threads});
  for (const ScannedFile* file : files) {
    try {
      if (!read_document(inventory_.folder, *file, true, kBlock, [&](std::string_view text) { trainer.add(text); }))
        leave_out(*file, kChanged);
    } catch (const Error& e) {
      if (e.code() != ExitCode::no_input && e.code() != ExitCode::data) throw;
      leave_out(*file, e.what());
    }
    done(*file);
  }
  return std::make_unique<TextTokenizer>(trainer.train());
}

void Tokenizing::make_tokenizer() {
  const double start = now_seconds();
  result_.tokenizer = options_.out / "tokenizer.json";
  if (!options_.tokenizer.empty()) {
    tokenizer_ = TextTokenizer::load(options_.tokenizer);
    std::error_code error;
    if (!fs::equivalent(options_.tokenizer, result_.tokenizer, error)) tokenizer_->save_tokenizer_json(result_.tokenizer);
  } else {
    if (earlier_ && fs::exists(result_.tokenizer)) {
      try {
        tokenizer_ = TextTokenizer::load(result_.tokenizer);
        result_.tokenizer_reused = tokenizer_->hash() == earlier_->tokenizer_hash;
      } catch (const Error&) {  // then a new one
      }
    }
    if (!result_.tokenizer_reused) {
      tokenizer_ = train_tokenizer();
      tokenizer_->save_tokenizer_json(result_.tokenizer);
    }
  }
  result_.tokenizer_hash = tokenizer_->hash();
  result_.vocab_size = tokenizer_->vocab_size();
  result_.tokenizer_seconds = now_seconds() - start;
  if (options_.append_eod) {
    const auto id = tokenizer_->special_id(options_.eos_token);
    eod_ = id ? *id : tokenizer_->eos_id();
    TW_CHECK(eod_ >= 0, config,
             "{} has no token \"{}\" (tokenizer.eos_token) and names none that ends a text: set tokenizer.eos_token, or "
             "tokenizer.append_eod = false",
             result_.tokenizer.string(), options_.eos_token);
  }
  certain_ = cuts_are_certain(*tokenizer_);
}

bool Tokenizing::keep(Split split, const SplitTokens& earlier) {
  const fs::path path = options_.out / "tokens" / (std::string(name_of(split)) + ".h5");
  if (earlier.documents == 0 || !fs::exists(path)) return false;
  try {
    const auto file = TokenFile::open(path);
    if (file->size() != earlier.tokens || file->tokenizer_hash() != tokenizer_->hash() ||
        int64_t(file->documents().size()) != earlier.documents)
      return false;
  } catch (const Error&) {
    return false;
  }
  SplitTokens& out = result_.splits[size_t(split)];
  out = earlier;
  out.file = path;
  out.reused = true;
  return true;
}

// A long document, block by block.
void Tokenizing::encode_large(const ScannedFile& file, TokenFileWriter& writer, SplitTokens& out) {
  Document document = document_of(file);
  std::vector<int32_t> ids;
  const bool same = read_document(inventory_.folder, file, certain_, kBlock, [&](std::string_view text) {
    ids.clear();
    tokenizer_->encode(text, {}, ids);
    writer.append(ids);
    document.bytes += int64_t(text.size());
  });
  if (!same) return leave_out(file, kChanged);
  if (eod_ >= 0) writer.append({eod_});
  writer.end_document(document);
  ++out.documents, out.bytes += document.bytes;
}

// Short documents side by side; they are written in their order.
void Tokenizing::encode_group(std::span<const ScannedFile* const> group, TokenFileWriter& writer, SplitTokens& out) {
  struct Encoded {
    std::vector<int32_t> ids;
    int64_t bytes = 0;
    std::string reason;  // why it is left out
  };
  std::vector<Encoded> all(group.size());
  team_.run(int64_t(group.size()), [&](int64_t i, int) {
    Encoded& e = all[size_t(i)];
    try {
      const bool same = read_document(inventory_.folder, *group[size_t(i)], certain_, kBlock, [&](std::string_view text) {
        tokenizer_->encode(text, {}, e.ids);
        e.bytes += int64_t(text.size());
      });
      if (!same) e.reason = kChanged;
    } catch (const Error& error) {
      if (error.code() != ExitCode::no_input && error.code() != ExitCode::data) throw;
      e.reason = error.what();
    }
  });
  for (size_t i = 0; i < group.size(); ++i) {
    Encoded& e = all[i];
    if (!e.reason.empty()) {
      leave_out(*group[i], e.reason);
    } else {
      if (eod_ >= 0) e.ids.push_back(eod_);
      Document document = document_of(*group[i]);
      document.bytes = e.bytes;
      writer.add(document, e.ids);
      ++out.documents, out.bytes += e.bytes;
    }
    done(*group[i]);
  }
}

void Tokenizing::encode_split(Split split) {
  const Files& files = files_[size_t(split)];
  const fs::path path = options_.out / "tokens" / (std::string(name_of(split)) + ".h5");
  if (files.empty()) {
    std::error_code ignored;
    fs::remove(path, ignored);  // of an earlier scan
    return;
  }
  const double start = now_seconds();
  begin(kPhases[size_t(split)], files);
  SplitTokens& out = result_.splits[size_t(split)];
  TokenFileWriter writer(path, tokenizer_->vocab_size(), tokenizer_->hash());
  for (size_t i = 0; i < files.size();) {
    if (files[i]->bytes > kGroupBytes) {
      encode_large(*files[i], writer, out);
      done(*files[i++]);
      continue;
    }
    size_t end = i;
    for (int64_t bytes = 0; end < files.size() && files[end]->bytes <= kGroupBytes && bytes < kGroupBytes; ++end)
      bytes += files[end]->bytes;
    encode_group(std::span(files).subspan(i, end - i), writer, out);
    i = end;
  }
  out.tokens = writer.tokens();
  out.seconds = now_seconds() - start;
  if (out.documents == 0) {
    TW_CHECK(split != Split::train, data, "no file of the train split is as it was scanned: scan the folder again");
    return;
  }
  writer.finish();
  out.file = path;
}

TokenizeResult Tokenizing::run() {
  make_folders(options_.out / "tokens");
  const fs::path record = options_.out / "tokens" / "tokens.json";
  earlier_ = read_tokens_record(record);
  if (earlier_ && !earlier_->same_request(request_)) earlier_.reset();
  make_tokenizer();
  if (earlier_ && earlier_->tokenizer_hash != tokenizer_->hash()) earlier_.reset();
  request_.tokenizer_hash = tokenizer_->hash();
  for (const Split split : kSplits) {
    if (earlier_ && keep(split, earlier_->splits[size_t(split)])) continue;
    // The record goes first: it never tells of files that are no longer what it says.
    std::error_code ignored;
    fs::remove(record, ignored);
    encode_split(split);
  }
  for (const Split split : kSplits) request_.splits[size_t(split)] = result_.splits[size_t(split)];
  request_.left_out = result_.left_out;
  write_tokens_record(request_, record);
  return std::move(result_);
}

}  // namespace

TokenizeResult tokenize(const Inventory& inventory, const TokenizeOptions& options) {
  return Tokenizing(inventory, options).run();
}

}  // namespace tw
