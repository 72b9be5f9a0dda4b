// Tables of comma, semicolon or tab separated values (RFC 4180): rows "a | b", as tables of the other formats have them.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "src/core/error.h"
#include "src/data/formats/format.h"

namespace tw {
namespace {

constexpr std::string_view kExtensions[] = {"csv", "tsv", "tab"};
constexpr size_t kSample = size_t(64) << 10;    // bytes that tell the separator
constexpr size_t kMaxQuoted = size_t(1) << 20;  // bytes of a field in quotes

// The separator that stands most evenly in the first lines, outside quotes; comma where none does.
char separator_of(std::string_view head) {
  constexpr std::array<char, 4> kSeparators = {',', ';', '\t', '|'};
  char best = ',';
  double best_score = 0;
  for (const char s : kSeparators) {
    int64_t lines = 0, equal = 0, first = -1, count = 0;
    bool quoted = false;
    for (const char c : head) {
      if (c == '"') quoted = !quoted;
      if (quoted) continue;
      count += c == s;
      if (c != '\n') continue;
      if (first < 0) first = count;
      ++lines, equal += count == first && count > 0;
      count = 0;
    }
    if (lines == 0) equal = count > 0, lines = 1, first = count;
    const double score = double(equal) / double(lines) + 1e-3 * double(std::min<int64_t>(first, 100));
    if (equal > 0 && score > best_score) best = s, best_score = score;
  }
  return best;
}

class Rows {
 public:
  Rows(char separator, DocumentSink& sink) : separator_(separator), sink_(sink) {}
  void feed(std::string_view piece) {
    for (const char c : piece) take(c);
    if (out_.size() > kSample) flush();
  }
  void finish() {
    if (state_ == State::quoted) unclosed();
    end_row();
    flush();
    if (unclosed_ > 0) sink_.note(fmt::format("{} fields begin with a quote that is not closed, the first in row {}", unclosed_, first_unclosed_));
  }

 private:
  enum class State { start, plain, quoted, quote };  // of a field; quote: behind a quote inside quotes
  void take(char c) {
    if (state_ == State::quoted) {
      if (c == '"') state_ = State::quote;
      else held_ += c;
      if (held_.size() > kMaxQuoted) unclosed();  // a stray quote would swallow the rest of the file
      return;
    }
    if (state_ == State::quote) {
      if (c == '"') {
        held_ += '"';
        state_ = State::quoted;
        return;
      }
      put_field(std::exchange(held_, ""));
      state_ = State::plain;
    }
    if (c == separator_) {
      out_ += " | ";
      state_ = State::start;
    } else if (c == '\n') {
      end_row();
    } else if (c == '"' && state_ == State::start) {
      state_ = State::quoted;
    } else if (c != '\r' && !(state_ == State::start && (c == ' ' || c == '\t'))) {
      put(c);
      state_ = State::plain;
    }
  }
  // What was taken for one field are rows.
  void unclosed() {
    if (unclosed_++ == 0) first_unclosed_ = row_ + 1;
    const std::string held = std::exchange(held_, "");
    put('"');
    state_ = State::plain;
    for (const char c : held) {
      if (c == '"') put(c), state_ = State::plain;
      else take(c);
    }
  }
  void put(char c) {
    out_ += c;
    any_ = true;
  }
  void put_field(std::string_view text) {
    bool space = false;  // line breaks in a field would look like rows
    for (const char c : text) {
      if (c == '\n' || c == '\r') {
        space = true;
        continue;
      }
      if (std::exchange(space, false)) out_ += ' ';
      put(c);
    }
  }
  void end_row() {
    if (state_ == State::quote) put_field(std::exchange(held_, ""));
    while (out_.size() > begin_ && out_.back() == ' ') out_.resize(out_.size() - (out_.ends_with(" | ") ? 3 : 1));
    if (any_) out_ += '\n';
    else out_.resize(begin_);
    begin_ = out_.size();
    ++row_;
    any_ = false;
    state_ = State::start;
  }
  void flush() {
    size_t end = begin_;
    if (end == 0 && out_.size() > kMaxQuoted) {  // one row
      end = out_.size();
      while (end > 0 && (static_cast<unsigned char>(out_[end - 1]) & 0x80 || out_[end - 1] == ' ' || out_[end - 1] == '|')) --end;
      if (end == 0) end = out_.size();
    }
    sink_.text(std::string_view(out_).substr(0, end));
    out_.erase(0, end);
    begin_ -= std::min(begin_, end);
  }
  char separator_;
  DocumentSink& sink_;
  State state_ = State::start;
  std::string out_, held_;  // rows; a field in quotes
  size_t begin_ = 0;        // of the row in out_
  int64_t row_ = 0, unclosed_ = 0, first_unclosed_ = 0;
  bool any_ = false;  // the row has more than empty fields
};

void read_csv(TextReader& file, DocumentSink& sink) {
  std::string block;
  std::string head;
  while (head.size() < kSample && file.next(block)) head += block;
  Rows rows(separator_of(std::string_view(head).substr(0, kSample)), sink);
  rows.feed(head);
  while (file.next(block)) rows.feed(block);
  rows.finish();
}

}  // namespace

const Format kCsv = {.kind = "csv", .extensions = kExtensions, .from_text = read_csv};

}  // namespace tw
