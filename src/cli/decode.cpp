// Token ids to text, as a filter: memory does not grow with the ids.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "src/cli/arguments.h"
#include "src/cli/artefacts.h"
#include "src/cli/command.h"
#include "src/cli/job.h"
#include "src/codec/text/tokenizer.h"
#include "src/core/file.h"
#include "src/interop/npy.h"

namespace tw {
namespace {

constexpr size_t kBlock = size_t(1) << 16;

class Decoding {
 public:
  Decoding(const TextTokenizer& tokenizer, bool lines, bool skip_special) : tokenizer_(tokenizer), lines_(lines), skip_special_(skip_special) {}

  void file(const std::string& path) {
    const bool standard = path == "-";
    const FileDescriptor fd = standard ? FileDescriptor() : open_to_read(path);
    name_ = standard ? "standard input" : path;
    const size_t width = path.ends_with(".u16") ? 2 : path.ends_with(".u32") ? 4 : 0;
    std::string block(kBlock, '\0');
    size_t held = 0;  // bytes of an id that has not ended
    for (;;) {
      ssize_t n;
      do n = ::read(standard ? STDIN_FILENO : fd.get(), block.data() + held, block.size() - held);
      while (n < 0 && errno == EINTR);
      TW_CHECK(n >= 0, io, "{} cannot be read: {}", name_, std::strerror(errno));
      const size_t size = held + size_t(n);
      held = width ? raw(std::string_view(block).substr(0, size), width) : text(std::string_view(block).substr(0, size));
      block.erase(0, size - held).resize(kBlock);
      write(false);
      stop_if_asked();
      if (n == 0) break;
    }
    TW_CHECK(width == 0 || held == 0, data, "{} ends within an id", name_);
    if (digits_) take(id_), digits_ = 0;
    if (lines_ && row_has_ids_) out_ += '\n', row_has_ids_ = false;
    write(true);
  }

 private:
  size_t raw(std::string_view bytes, size_t width) {
    const size_t whole = bytes.size() / width * width;
    for (size_t i = 0; i < whole; i += width) {
      uint32_t id = 0;
      for (size_t b = 0; b < width; ++b) id |= uint32_t(static_cast<unsigned char>(bytes[i + b])) << (8 * b);
      take(id);
    }
    return bytes.size() - whole;
  }
  size_t text(std::string_view bytes) {
    for (const char c : bytes) {
      ++at_;
      if (c >= '0' && c <= '9') {
        TW_CHECK(++digits_ <= 10, data, "{}: a number of more than ten digits at byte {}", name_, at_);
        id_ = id_ * 10 + uint64_t(c - '0');
        continue;
      }
      TW_CHECK(c == ' ' || c == '\n' || c == '\t' || c == '\r', data, "{}: byte {} is none of a row of ids", name_, at_);
      if (digits_) take(id_);
      digits_ = 0, id_ = 0;
      if (c != '\n') continue;
      if (lines_) out_ += '\n';
      row_has_ids_ = false;
    }
    return 0;
  }
  void take(uint64_t id) {
    TW_CHECK(id < uint64_t(tokenizer_.vocab_size()), data, "{}: id {} is not below {}, the tokenizer's size", name_, id,
             tokenizer_.vocab_size());
    row_has_ids_ = true;
    if (skip_special_ && tokenizer_.is_special(int32_t(id))) return;
    out_ += tokenizer_.token_bytes(int32_t(id));
  }
  void write(bool all) {
    if (!all && out_.size() < kBlock) return;
    print(out_);
    out_.clear();
  }

  const TextTokenizer& tokenizer_;
  bool lines_, skip_special_;
  std::string name_, out_;
  uint64_t id_ = 0;
  int digits_ = 0;
  int64_t at_ = 0;
  bool row_has_ids_ = false;
};

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("decode", "Turns token ids back into text: rows of numbers, or bare ids in .u16 and .u32 files.",
                      "tokenwerk decode tokenizer.json corpus.u16 > corpus.txt\n"
                      "  tokenwerk decode runs/signs/tokenizer.json ids.txt --out pages\n"
                      "  echo 'Hello' | tokenwerk encode tokenizer.json | tokenwerk decode tokenizer.json");
  std::string path, out;
  std::vector<std::string> files;
  bool lines = false, skip_special = false;
  arguments.word("TOKENIZER", path, "tokenizer.json, SentencePiece .model, tiktoken file, or a folder with one");
  arguments.words("FILE", files, "Files of ids; none or - reads standard input");
  arguments.flag("--lines", lines, "End each row's text with a line break");
  arguments.option("--out", out, "Folder for pages: each row as Markdown, and beside it the files of other kinds that stand in it");
  arguments.flag("--skip-special", skip_special, "Leave out special tokens");
  if (!arguments.parse(words)) return ExitCode::ok;
  TW_CHECK(world.size() == 1, config, "decode runs on one rank");
  if (files.empty()) files.push_back("-");
  const auto tokenizer = TextTokenizer::load(path);
  if (!out.empty()) {
    TW_CHECK(!lines && !skip_special, config, "--out writes pages: leave out --lines and --skip-special");
    const CodecSet codecs(*tokenizer, codecs_beside(path));
    int64_t pages = 0;
    for (const std::string& file : files) {
      TW_CHECK(file != "-", config, "--out wants files of ids, not standard input");
      for (const auto& row : read_ids(file)) write_page(*tokenizer, codecs, row, fmt::format("{:04}", ++pages), out);
    }
    return ExitCode::ok;
  }
  for (const std::string& file : files) Decoding(*tokenizer, lines, skip_special).file(file);
  return ExitCode::ok;
}

}  // namespace

const Command kDecode = {"decode", "token ids to text, from files or a pipe", run};

}  // namespace tw
