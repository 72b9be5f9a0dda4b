// Text to token ids, as a filter: memory does not grow with the text.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/log.h"
#include "src/core/utf8.h"
#include "src/data/document_text.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBlock = size_t(1) << 20;
constexpr size_t kLongestLine = size_t(1) << 30;

// Where ids go: text on standard output, raw little-endian ids in a file, or nowhere (--count).
class IdsOut {
 public:
  IdsOut(const std::string& path, int32_t vocab_size) : path_(path) {
    if (path.empty()) return;
    bits_ = path.ends_with(".u16") ? 16 : path.ends_with(".u32") ? 32 : 0;
    TW_CHECK(bits_, config, "--out {}: the name must end in .u16 or .u32", path);
    TW_CHECK(bits_ == 32 || vocab_size <= 65536, config, "ids below {} do not fit in 16 bits: --out {}.u32", vocab_size,
             path.substr(0, path.size() - 4));
    fd_ = open_to_write(path);
  }
  // In a worker: what an id row's part looks like when written.
  void format(const std::vector<int32_t>& ids, bool first, std::string& out) const {
    if (bits_ == 16) {
      for (const int32_t id : ids) out += char(id & 255), out += char(id >> 8);
    } else if (bits_ == 32) {
      for (const int32_t id : ids)
        for (int shift = 0; shift < 32; shift += 8) out += char(uint32_t(id) >> shift & 255);
    } else {
      for (const int32_t id : ids) {
        if (!first) out += ' ';
        char text[16];
        out.append(text, std::to_chars(text, text + sizeof text, id).ptr), first = false;
      }
    }
  }
  void end_row(std::string& out) const {
    if (bits_ == 0) out += '\n';
  }
  void write(const std::string& bytes) {
    if (!path_.empty()) {
      write_exactly(fd_.get(), bytes.data(), bytes.size(), at_, path_);
      at_ += int64_t(bytes.size());
    } else {
      TW_CHECK(std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size(), io, "standard output: {}", std::strerror(errno));
    }
  }

 private:
  std::string path_;
  int bits_ = 0;
  FileDescriptor fd_;
  int64_t at_ = 0;
};

struct Totals {
  int64_t rows = 0, bytes = 0, tokens = 0;
};

class Encoding {
 public:
  // end: byte that ends each text ('\n', '\0'); none = a file is one text.
  Encoding(const TextTokenizer& tokenizer, const EncodeOptions& options, std::optional<char> end, IdsOut* out, int threads)
      : tokenizer_(tokenizer), options_(options), lines_(end), end_(end.value_or('\n')), out_(out), team_(threads) {}

  void file(const std::string& path) {
    const bool standard = path == "-";
    const FileDescriptor fd = standard ? FileDescriptor() : open_to_read(path);
    TextParts parts(options_.parse_special ? Cuts::none : cuts_of(tokenizer_));
    std::string block, held;  // held: a line or character whose end has not come
    const size_t round = size_t(team_.size()) * 4 * kBlock;
    row_begins_ = true;
    for (bool last = false; !last;) {
      last = !read(standard ? STDIN_FILENO : fd.get(), block, standard ? "standard input" : path);
      totals_.bytes += int64_t(block.size());
      held += block;
      const size_t whole = last ? held.size() : lines_ ? held.rfind(end_) + 1 : whole_characters(held);  // npos + 1 = 0
      TW_CHECK(held.size() - whole <= kLongestLine, data, "{}: a text of more than 1 GiB", path);
      if (lines_) {
        if (whole > 0 && (last || whole >= round)) encode_lines(std::string_view(held).substr(0, whole)), held.erase(0, whole);
      } else {
        parts.add(std::string_view(held).substr(0, whole));
        held.erase(0, whole);
        if (last || parts.waiting() >= round) encode_parts(parts, last);
      }
      stop_if_asked();
    }
    if (!lines_) {
      ++totals_.rows;
      std::string end;
      if (out_) out_->end_row(end), out_->write(end);
    }
  }
  const Totals& totals() const noexcept { return totals_; }

 private:
  static bool read(int fd, std::string& block, const std::string& name) {
    block.resize(kBlock);
    ssize_t n;
    do n = ::read(fd, block.data(), block.size());
    while (n < 0 && errno == EINTR);
    TW_CHECK(n >= 0, io, "{} cannot be read: {}", name, std::strerror(errno));
    block.resize(size_t(n));
    return n > 0;
  }
  static size_t whole_characters(const std::string& text) {
    for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back)
      if (utf8_length(text.data() + text.size() - back, back) < 0) return text.size() - back;
    return text.size();
  }
  void encode_parts(TextParts& parts, bool last) {
    std::vector<std::string_view> texts;
    for (std::string_view part; parts.next(part, last);) texts.push_back(part);
    std::vector<Slot> slots(texts.size());
    team_.run(int64_t(texts.size()), [&](int64_t i, int) {
      Slot& slot = slots[size_t(i)];
      tokenizer_.encode(texts[size_t(i)], options_, slot.ids);
      slot.tokens = int64_t(slot.ids.size());
      if (out_) out_->format(slot.ids, row_begins_ && i == 0, slot.text);
    });
    if (!texts.empty()) row_begins_ = false;
    collect(slots);
  }
  void encode_lines(std::string_view text) {
    std::vector<std::string_view> parts;  // of whole lines
    while (!text.empty()) {
      const size_t end = text.size() <= kBlock ? text.size() : std::min(text.find(end_, kBlock), text.size() - 1) + 1;
      parts.push_back(text.substr(0, end));
      text.remove_prefix(end);
    }
    std::vector<Slot> slots(parts.size());
    team_.run(int64_t(parts.size()), [&](int64_t i, int) {
      Slot& slot = slots[size_t(i)];
      for (std::string_view rest = parts[size_t(i)]; !rest.empty(); ++slot.rows) {
        const size_t end = std::min(rest.find(end_), rest.size());
        slot.ids.clear();
        tokenizer_.encode(rest.substr(0, end), options_, slot.ids);
        slot.tokens += int64_t(slot.ids.size());
        if (out_) out_->format(slot.ids, true, slot.text), out_->end_row(slot.text);
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
    });
    collect(slots);
  }
  struct Slot {
    std::vector<int32_t> ids;
    std::string text;
    int64_t tokens = 0, rows = 0;
  };
  void collect(const std::vector<Slot>& slots) {
    for (const Slot& slot : slots) {
      totals_.tokens += slot.tokens, totals_.rows += slot.rows;
      if (out_) out_->write(slot.text);
    }
  }

  const TextTokenizer& tokenizer_;
  EncodeOptions options_;
  bool lines_, row_begins_ = true;
  char end_;
  IdsOut* out_;
  ThreadTeam team_;
  Totals totals_;
};

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("encode", "Turns text into token ids, a row for each file (or for each line), from files or a pipe.",
                      "echo 'The pump is running.' | tokenwerk encode runs/first/tokenizer.json\n"
                      "  tokenwerk encode tokenizer.json corpus.txt --out corpus.u16\n"
                      "  tokenwerk encode tokenizer.json corpus.txt --lines --count --json");
  std::string path, out;
  std::vector<std::string> files;
  bool lines = false, null = false, count = false, special = false, json = false;
  int64_t threads = 0;
  arguments.word("TOKENIZER", path, "tokenizer.json, SentencePiece .model, tiktoken file, or a folder with one");
  arguments.words("FILE", files, "Files of UTF-8 text; none or - reads standard input");
  arguments.option("--out", out, "Write bare little-endian ids to this file (.u16 or .u32) instead of text");
  arguments.flag("--lines", lines, "Each line is a text of its own");
  arguments.flag("-0,--null", null, "A NUL byte ends each text, as find -print0 writes them");
  arguments.flag("--count", count, "Only count the tokens");
  arguments.flag("--special", special, "Texts of special tokens become those tokens");
  arguments.option("--threads", threads, "Threads; 0 = all cores");
  arguments.flag("--json", json, "Print bytes, tokens and seconds as JSON, not the ids");
  if (!arguments.parse(words)) return ExitCode::ok;
  TW_CHECK(world.size() == 1, config, "encode runs on one rank");
  TW_CHECK(threads >= 0 && threads <= 4096, config, "--threads {} is out of range", threads);
  TW_CHECK(!count || out.empty(), config, "--count writes no ids: leave out --out");
  TW_CHECK(!lines || !null, config, "--lines and --null exclude each other");
  const std::optional<char> end = lines ? std::optional('\n') : null ? std::optional('\0') : std::nullopt;
  if (files.empty()) files.push_back("-");
  const auto tokenizer = TextTokenizer::load(path);
  std::optional<IdsOut> ids;
  if (!out.empty() || (!count && !json)) ids.emplace(out, tokenizer->vocab_size());
  Encoding encoding(*tokenizer, {.parse_special = special}, end, ids ? &*ids : nullptr, threads ? int(threads) : all_cores());
  const double start = now_seconds();
  for (const std::string& file : files) encoding.file(file);
  const double seconds = now_seconds() - start;
  const Totals& t = encoding.totals();
  if (json) {
    const nlohmann::json result = {{"tokenizer_hash", tokenizer->hash()}, {"rows", t.rows}, {"bytes", t.bytes}, {"tokens", t.tokens}, {"seconds", seconds}};
    std::puts(result.dump().c_str());
  } else if (count) {
    std::printf("%lld\n", static_cast<long long>(t.tokens));
  }
  log_info("{} of text, {} tokens, {:.2f} bytes a token, {}/s", human_bytes(double(t.bytes)), human_count(double(t.tokens)),
           t.tokens > 0 ? double(t.bytes) / double(t.tokens) : 0, human_bytes(double(t.bytes) / std::max(seconds, 1e-9)));
  return ExitCode::ok;
}

}  // namespace

const Command kEncode = {"encode", "text to token ids, from files or a pipe", run};

}  // namespace tw
