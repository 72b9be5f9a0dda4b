#include "src/data/tokenize.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <unordered_map>
#include <span>
#include <utility>

#include "src/codec/id_space.h"
#include "src/codec/kinds.h"
#include "src/codec/text/bpe_trainer.h"
#include "src/codec/text/chat_template.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/clock.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/hash.h"
#include "src/core/sandbox.h"
#include "src/core/thread_team.h"
#include "src/data/coded_file.h"
#include "src/data/encoded_text.h"
#include "src/data/text_pass.h"
#include "src/data/token_file.h"
#include "src/data/tokens_record.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr int64_t kGroupBytes = int64_t(16) << 20;  // files that are encoded side by side, in all
constexpr size_t kMeasuredFiles = 64;               // on which the quality of a codec is measured
constexpr int64_t kMeasuredBytes = int64_t(16) << 20;
constexpr const char* kPhases[] = {"tokenize train", "tokenize val", "tokenize test"};


using Files = std::vector<const ScannedFile*>;

class Tokenizing {
 public:
  Tokenizing(const Inventory& inventory, const TokenizeOptions& options)
      : inventory_(inventory), options_(options), team_(std::max(1, options.threads)) {
    for (const ScannedFile& f : inventory.files)
      if (f.state == FileState::used) {
        if (!f.part_of.empty()) parts_.emplace(f.path, &f);
        for (const Split split : kSplits)
          if (f.dealt_inside || f.split == split) (codec_kind(f.kind) ? coded_ : files_)[size_t(split)].push_back(&f);
      }
    request_.inventory = inventory.fingerprint();
    if (const CodecTraining usual; options.audio != usual.audio || options.image != usual.image || options.image_size != usual.image_size || options.video_size != usual.video_size || options.video_rate != usual.video_rate || options.variants != TokenizeOptions().variants)
      request_.inventory = Sha256().update(request_.inventory).update(fmt::format("{} {} {} {} {} {}", options.audio, options.image, options.image_size, options.video_size, options.video_rate, options.variants)).hex();
    if (!options.mask.empty()) request_.inventory = Sha256().update(request_.inventory).update(options.mask.str()).hex();
    request_.tokenizer_file = options.tokenizer.string();
    request_.vocab_size = options.vocab_size;
    request_.eos_token = options.eos_token;
    request_.append_eod = options.append_eod;
    TW_CHECK(!files_[size_t(Split::train)].empty() || !coded_[size_t(Split::train)].empty(), data, "no file of {} is in the train split: nothing can be trained on",
             inventory.folder.string());
  }
  TokenizeResult run();

 private:
  void make_tokenizer();
  void make_codecs();
  std::unique_ptr<Codec> make_codec(const CodecKind& kind);
  std::unique_ptr<TextTokenizer> train_tokenizer();
  void keep(Split split, const SplitTokens& earlier);
  void encode_split(Split split);
  void encode_coded(Split split, TokenFileWriter& writer);
  // A file that stands in a document; on any thread.
  void embed(const ScannedFile& file, EncodedText& text) const;
  // The file at `path` where it stands in `document`; nullptr = it does not.
  const ScannedFile* part_of(const ScannedFile& document, const std::string& path) const {
    const auto found = parts_.find(path);
    return found != parts_.end() && found->second->part_of == document.path ? found->second : nullptr;
  }
  // The ids of a file of a codec's kind; on any thread. Error(data) where it changed since the scan.
  CodedFile encode(const ScannedFile& file, const CodedRow& row, int variants, const std::function<void(const std::vector<int32_t>&)>& take) const {
    const auto codec = std::find_if(codecs_.begin(), codecs_.end(), [&](const auto& c) { return c->name() == file.kind; });
    const auto range = std::find_if(ranges_.begin(), ranges_.end(), [&](const CodecRange& r) { return r.name == file.kind; });
    const fs::path path = inventory_.folder / file.path;
    const MappedFile map(path);
    TW_CHECK(Sha256().update(map.text()).hex() == file.sha256, data, "{}", kChangedSinceScan);
    CodecInput input(map.text(), path);
    input.variants = variants;
    return encode_file(**codec, *range, input, row, take);
  }
  static void add_coded(SplitTokens& out, const CodedTokens& more) {
    auto of = std::find_if(out.coded.begin(), out.coded.end(), [&](const CodedTokens& c) { return c.kind == more.kind; });
    if (of == out.coded.end()) of = out.coded.insert(of, {.kind = more.kind});
    of->files += more.files, of->documents += more.documents, of->tokens += more.tokens, of->bytes += more.bytes, of->seconds += more.seconds;
  }
  void measure_codecs();
  // A caption without what data.mask puts out of sight.
  std::string masked(const std::string& caption) const {
    if (options_.mask.empty() || caption.empty()) return caption;
    std::string out;
    PersonalData personal(options_.mask, [&](std::string_view piece) { out += piece; });
    personal.feed(caption), personal.end();
    return out;
  }
  void read(const char* phase, const Files& files, Cuts cuts, const TextWork& work);
  void report() const {
    if (options_.progress) options_.progress(progress_);
  }

  const Inventory& inventory_;
  const TokenizeOptions& options_;
  ThreadTeam team_;
  std::array<Files, 3> files_, coded_;  // text, and what goes through codecs
  std::unordered_map<std::string, const ScannedFile*> parts_;  // of documents, by path
  std::vector<CodecRange> ranges_;       // of codecs_
  TokensRecord request_;
  std::optional<TokensRecord> earlier_;  // of the same request
  std::unique_ptr<TextTokenizer> tokenizer_;
  std::vector<std::unique_ptr<Codec>> codecs_;
  int32_t eod_ = -1;
  bool talks_ = false;  // there are conversations
  LeftOutFiles left_out_;  // what the tokenizer has not seen is not encoded either
  TokenizeProgress progress_;
  TokenizeResult result_;
};

void Tokenizing::read(const char* phase, const Files& files, Cuts cuts, const TextWork& work) {
  progress_ = {.phase = phase, .total_files = int64_t(files.size())};
  for (const ScannedFile* f : files) progress_.total_bytes += f->bytes;
  TextPass pass(inventory_, options_.mask, team_, left_out_,
                {.part_of = [&](const ScannedFile& document, const std::string& path) { return part_of(document, path); },
                 .progress =
                     [&](int64_t done, int64_t bytes) {
                       progress_.files = done, progress_.bytes = bytes;
                       report();
                     }});
  pass.read(files, cuts, work);
}

std::unique_ptr<TextTokenizer> Tokenizing::train_tokenizer() {
  BpeTrainer trainer({.vocab_size = options_.vocab_size, .special_tokens = {options_.eos_token}, .threads = options_.threads});
  std::vector<std::vector<std::string>> texts(TextPass::kSlots);
  read("train tokenizer", files_[size_t(Split::train)], Cuts::words,
       {.part = [&](size_t slot, std::string_view text) { texts[slot].emplace_back(text); },
        .turn = {},
        .embed = {},
        .document_end = [](size_t) {},
        .collect =
            [&](size_t slot) {
              for (const std::string& text : std::exchange(texts[slot], {})) trainer.add(text);
            },
        .end = [](const ScannedFile&, int64_t) {}});
  return std::make_unique<TextTokenizer>(trainer.train());
}

void Tokenizing::make_tokenizer() {
  const double start = now_seconds();
  result_.tokenizer = options_.out / "tokenizer.json";
  bool save = true;
  if (!options_.tokenizer.empty()) {
    tokenizer_ = TextTokenizer::load(options_.tokenizer);
    std::error_code error;
    save = !fs::equivalent(options_.tokenizer, result_.tokenizer, error);
  } else {
    if (earlier_ && fs::exists(result_.tokenizer)) {
      try {
        tokenizer_ = TextTokenizer::load(result_.tokenizer);
        result_.tokenizer_reused = tokenizer_->hash() == earlier_->tokenizer_hash;
      } catch (const Error&) {  // then a new one
      }
    }
    save = !result_.tokenizer_reused;
    if (save) tokenizer_ = train_tokenizer();
  }
  make_codecs();
  TokenizerSpec spec = tokenizer_->spec();
  const auto talks = [](const ScannedFile* f) { return f->turns > 0; };
  for (const Files& files : files_)
    if (std::any_of(files.begin(), files.end(), talks)) talks_ = true;
  if (talks_) add_chat_tokens(spec);
  for (const auto& codec : codecs_) add_codec(spec, *codec);
  if (spec.size() != tokenizer_->vocab_size()) {
    tokenizer_ = std::make_unique<TextTokenizer>(std::move(spec));
    save = true;
    result_.tokenizer_reused = false;
  }
  const IdSpace space(*tokenizer_);
  ranges_.assign(space.ranges().begin(), space.ranges().end());
  if (save) tokenizer_->save_tokenizer_json(result_.tokenizer);
  result_.tokenizer_hash = tokenizer_->hash();
  result_.vocab_size = tokenizer_->vocab_size();
  result_.tokenizer_seconds = now_seconds() - start;
  if (options_.append_eod) {
    auto id = tokenizer_->special_id(options_.eos_token);
    const int32_t own = tokenizer_->eos_id();
    if (!id && own >= 0 && options_.eos_token == TokenizeOptions().eos_token) id = own;  // nobody asked for another
    TW_CHECK(id, config, "{} has no token \"{}\": set tokenizer.eos_token{}, or tokenizer.append_eod = false",
             options_.tokenizer.string(), options_.eos_token,
             own < 0 ? "" : fmt::format(", for example to \"{}\"", tokenizer_->token_bytes(own)));
    eod_ = *id;
  }
}

void Tokenizing::make_codecs() {
  for (const CodecKind* kind : codec_kinds()) {
    const auto is_of = [&](const ScannedFile* f) { return f->kind == kind->name; };
    if (std::any_of(coded_[size_t(Split::train)].begin(), coded_[size_t(Split::train)].end(), is_of)) {
      codecs_.push_back(make_codec(*kind));
      continue;
    }
    for (const Split split : kSplits)
      for (const ScannedFile* f : coded_[size_t(split)])
        if (is_of(f)) left_out_.add(*f, "no file of its kind is in the train split");
  }
}

// The one an earlier call made of the same files, else a new one.
std::unique_ptr<Codec> Tokenizing::make_codec(const CodecKind& kind) {
  const fs::path file = options_.out / "codecs" / kind.codebook;
  if (earlier_ && fs::exists(file)) {
    try {
      auto codec = kind.load(file);
      const IdSpace ids(*tokenizer_);
      if (const CodecRange* range = ids.named(kind.name); range && codec->hash().starts_with(range->codebook)) return codec;
    } catch (const Error&) {  // then a new one
    }
  }
  std::vector<fs::path> files;
  progress_ = {.phase = "train codecs"};
  for (const ScannedFile* f : coded_[size_t(Split::train)])
    if (f->kind == kind.name) files.push_back(inventory_.folder / f->path), ++progress_.total_files, progress_.total_bytes += f->bytes;
  report();
  const auto progress = [&](double share) {
    progress_.bytes = int64_t(share * double(progress_.total_bytes));
    report();
  };
  auto codec = kind.train(files, {.threads = options_.threads, .audio = options_.audio, .image = options_.image, .image_size = options_.image_size, .video_size = options_.video_size,
                                  .video_rate = options_.video_rate, .progress = progress});
  make_folders(options_.out / "codecs");
  codec->save(file);
  progress_.files = progress_.total_files, progress_.bytes = progress_.total_bytes;
  report();
  return codec;
}

void Tokenizing::keep(Split split, const SplitTokens& earlier) {
  const fs::path path = options_.out / "tokens" / (std::string(name_of(split)) + ".h5");
  if (earlier.documents == 0 || !fs::exists(path)) return;
  std::string checksum;
  try {
    const auto file = TokenFile::open(path);
    checksum = file->checksum();
    if ((!earlier.checksum.empty() && checksum != earlier.checksum) || file->size() != earlier.tokens || file->source_bytes() != earlier.bytes ||
        file->tokenizer_hash() != tokenizer_->hash() || file->eod() != eod_ ||
        int64_t(file->documents().size()) != earlier.documents)
      return;
  } catch (const Error&) {
    return;
  }
  SplitTokens& out = result_.splits[size_t(split)];
  out = earlier;
  out.file = path;
  out.checksum = checksum;
  out.reused = true;
}

void Tokenizing::encode_split(Split split) {
  const Files& files = files_[size_t(split)];
  const fs::path path = options_.out / "tokens" / (std::string(name_of(split)) + ".h5");
  std::error_code ignored;
  fs::remove(path, ignored);  // of an earlier call: not for these files, or damaged
  if (files.empty() && coded_[size_t(split)].empty()) return;
  const double start = now_seconds();
  SplitTokens& out = result_.splits[size_t(split)];
  TokenFileWriter writer(path, tokenizer_->vocab_size(), tokenizer_->hash(), eod_);
  std::optional<ChatTemplate> chat;
  if (talks_) chat.emplace(*tokenizer_);
  std::vector<EncodedText> slots;
  for (size_t i = 0; i < TextPass::kSlots; ++i) slots.emplace_back(*tokenizer_, talks_ ? &*chat : nullptr);
  std::string open;  // whose turn the last slot ended in
  const auto give = [&](EncodedText& text) {
    text.finish_head();
    const int64_t base = writer.tokens();
    writer.append(text.ids);
    for (const TokenFile::Range& r : text.untrained) writer.leave_untrained(base + r.begin, base + r.end);
    open = text.role;
    out.text_seconds += text.seconds;
    for (const CodedTokens& tokens : text.embedded) add_coded(out, tokens);
    for (const auto& [file, reason] : text.unread) left_out_.add(*file, reason);
    text.clear();
  };
  read(kPhases[size_t(split)], files, cuts_of(*tokenizer_),
       {.part = [&](size_t slot, std::string_view text) { slots[slot].add(text); },
        .turn =
            [&](size_t slot, const std::string& role, bool within) {
              if (within) slots[slot].role = role;
              else slots[slot].begin_turn(role);
            },
        .embed = [&](size_t slot, const ScannedFile& file) { embed(file, slots[slot]); },
        .document_end = [&](size_t slot) { slots[slot].end_document(eod_); },
        .collect = [&](size_t slot) { give(slots[slot]); },
        .end =
            [&](const ScannedFile& file, int64_t bytes) {
              slots[0].role = open;
              slots[0].end_document(eod_);
              give(slots[0]);
              Document document;
              document.path = file.path, document.sha256 = file.sha256, document.licence = file.licence;
              document.bytes = bytes;
              writer.end_document(document);
              ++out.documents, out.bytes += bytes;
            }});
  encode_coded(split, writer);
  TW_CHECK(out.documents > 0 || split != Split::train, data, "no file of the train split is as it was scanned: scan {} again",
           inventory_.folder.string());
  if (out.documents == 0) return;
  out.tokens = writer.tokens();
  writer.finish();
  out.file = path;
  out.checksum = TokenFile::open(path)->checksum();
  out.seconds = now_seconds() - start;
}

void Tokenizing::embed(const ScannedFile& file, EncodedText& text) const {
  if (left_out_.contains(&file)) return;
  const double start = now_seconds();
  const size_t begin = text.ids.size();
  try {
    const CodedFile coded = encode(file, {}, 0, [&](const std::vector<int32_t>& block) {
      text.ids.insert(text.ids.end(), block.begin(), block.end());
    });
    text.embedded.push_back({.kind = file.kind, .documents = coded.documents, .tokens = coded.tokens, .bytes = file.bytes, .seconds = now_seconds() - start});
  } catch (const Error& e) {
    if (e.code() != ExitCode::no_input && e.code() != ExitCode::data) throw;
    text.ids.resize(begin);
    text.unread.emplace_back(&file, e.what());
  }
}

// Files side by side where they are short, one after the other where they are long.
void Tokenizing::encode_coded(Split split, TokenFileWriter& writer) {
  const Files& files = coded_[size_t(split)];
  if (files.empty()) return;
  SplitTokens& out = result_.splits[size_t(split)];
  progress_ = {.phase = kPhases[size_t(split)], .total_files = int64_t(files.size())};
  for (const ScannedFile* f : files) progress_.total_bytes += f->bytes;
  struct Made {
    std::string reason;  // to leave it out
    double seconds = 0;
    CodedFile file;
    std::vector<int32_t> ids;
  };
  // Long files go to the writer at once.
  const auto make = [&](const ScannedFile& f, bool at_once) {
    Made made;
    if (left_out_.contains(&f) || !f.part_of.empty()) return made;
    bool written = false;
    const double start = now_seconds();
    try {
      CodedRow row{.eod = eod_, .caption = masked(f.caption), .words = [&](std::string_view caption) { return tokenizer_->encode(caption, {}); }, .keep = {}};
      if (f.dealt_inside) row.keep = [&](uint64_t bits) { return split_at(inventory_.shares, bits) == split; };
      made.file = encode(f, row, split == Split::train ? options_.variants : 0, [&](const std::vector<int32_t>& block) {
        if (at_once) written = true, writer.append(block);
        else made.ids.insert(made.ids.end(), block.begin(), block.end());
      });
    } catch (const Error& e) {
      if (written || (e.code() != ExitCode::no_input && e.code() != ExitCode::data)) throw;
      made.reason = e.what();
    }
    made.seconds = now_seconds() - start;
    return made;
  };
  for (size_t begin = 0; begin < files.size();) {
    size_t end = begin + 1;
    int64_t bytes = files[begin]->bytes;
    if (bytes <= TextPass::kLong)
      while (end < files.size() && end - begin < TextPass::kSlots && files[end]->bytes <= TextPass::kLong && bytes < kGroupBytes) bytes += files[end++]->bytes;
    std::vector<Made> group(end - begin);
    if (files[begin]->bytes > TextPass::kLong) group[0] = make(*files[begin], true);
    else team_.run(int64_t(group.size()), [&](int64_t i, int) { group[size_t(i)] = make(*files[begin + size_t(i)], false); });
    for (size_t i = 0; i < group.size(); ++i) {
      const ScannedFile& f = *files[begin + i];
      const Made& made = group[i];
      if (!made.reason.empty()) left_out_.add(f, made.reason);
      if (left_out_.contains(&f) || made.file.documents == 0) continue;
      writer.append(made.ids);
      Document document;
      document.path = f.path, document.sha256 = f.sha256, document.licence = f.licence;
      writer.end_document(document);
      ++out.documents;
      add_coded(out, {.kind = f.kind, .files = 1, .documents = made.file.documents, .tokens = made.file.tokens, .bytes = f.bytes, .seconds = made.seconds});
    }
    progress_.files += int64_t(end - begin), progress_.bytes += bytes;
    report();
    begin = end;
  }
}

void Tokenizing::measure_codecs() {
  if (earlier_ && earlier_->codecs.size() == codecs_.size()) {
    result_.codecs = earlier_->codecs;
    return;
  }
  for (const auto& codec : codecs_)
    for (const Split split : {Split::val, Split::test, Split::train}) {
      std::vector<fs::path> files;
      int64_t bytes = 0;
      for (const ScannedFile* f : coded_[size_t(split)])
        if (f->kind == codec->name() && f->split == split && !left_out_.contains(f) && files.size() < kMeasuredFiles && bytes < kMeasuredBytes)
          files.push_back(inventory_.folder / f->path), bytes += f->bytes;
      if (files.empty()) continue;
      try {
        result_.codecs.push_back({std::string(codec->name()), split, int64_t(files.size()), codec->quality(files)});
      } catch (const Error& e) {
        if (e.code() != ExitCode::no_input && e.code() != ExitCode::data) throw;
        result_.codecs.push_back({std::string(codec->name()), split, 0, {}});  // a file changed
      }
      break;
    }
}

TokenizeResult Tokenizing::run() {
  make_folders(options_.out / "tokens");
  const fs::path record = options_.out / "tokens" / "tokens.json";
  earlier_ = read_tokens_record(record);
  if (earlier_ && !earlier_->same_request(request_)) earlier_.reset();
  make_tokenizer();
  if (earlier_ && earlier_->tokenizer_hash != tokenizer_->hash()) earlier_.reset();
  request_.tokenizer_hash = tokenizer_->hash();
  // The record tells of what is finished and no more, at every moment: a later call goes on from there.
  const auto write_record = [&] {
    for (const Split split : kSplits) request_.splits[size_t(split)] = result_.splits[size_t(split)];
    request_.codecs = result_.codecs;
    request_.left_out = left_out_.said();
    write_tokens_record(request_, record);
  };
  if (earlier_)
    for (const Split split : kSplits) keep(split, earlier_->splits[size_t(split)]);
  write_record();
  measure_codecs();
  for (const Split split : kSplits) {
    if (result_.of(split).reused) continue;
    encode_split(split);
    write_record();
  }
  write_record();
  result_.left_out = left_out_.said();
  return std::move(result_);
}

}  // namespace

int64_t SplitTokens::text_tokens() const noexcept {
  int64_t n = tokens;
  for (const CodedTokens& c : coded) n -= c.tokens;
  return n;
}

TokenizeResult tokenize(const Inventory& inventory, const TokenizeOptions& options) {
  const SandboxReuse reuse;
  return Tokenizing(inventory, options).run();
}

}  // namespace tw
