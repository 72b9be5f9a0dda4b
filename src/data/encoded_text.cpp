#include "src/data/encoded_text.h"

#include <algorithm>

#include "src/core/clock.h"

namespace tw {

void EncodedText::add(std::string_view text) {
  const double start = now_seconds();
  const auto begin = int64_t(ids.size());
  if (head_.empty()) {
    tokenizer_.encode(text, {}, ids);
  } else {
    tokenizer_.encode(head_ + std::string(text), {}, ids);
    if (role == "assistant") leave(begin, begin + tokens_of_head(begin));
    head_.clear();
  }
  if (!role.empty() && role != "assistant") leave(begin);
  seconds += now_seconds() - start;
}

void EncodedText::begin_turn(const std::string& whose) {
  end_turn();
  const auto begin = int64_t(ids.size());
  head_ = chat_->begin(whose, ids);
  leave(begin);
  role = whose;
}

void EncodedText::finish_head() {
  if (!head_.empty()) add("");
}

void EncodedText::end_turn() {
  finish_head();
  if (role.empty()) return;
  const auto begin = int64_t(ids.size());
  chat_->end(ids);
  leave(begin + (role == "assistant"));
  role.clear();
}

void EncodedText::end_document(int32_t eod) {
  const bool talked = !role.empty();
  end_turn();
  if (eod < 0) return;
  ids.push_back(eod);
  if (talked) leave(int64_t(ids.size()) - 1);
}

// Where the head ends among the ids of both; within a token where they have grown together.
int64_t EncodedText::tokens_of_head(int64_t begin) const {
  const std::vector<int32_t> alone = tokenizer_.encode(head_);
  if (alone.size() <= ids.size() - size_t(begin) && std::equal(alone.begin(), alone.end(), ids.begin() + begin)) return int64_t(alone.size());
  int64_t n = 0;
  for (size_t bytes = 0; bytes < head_.size() && begin + n < int64_t(ids.size()); ++n) bytes += tokenizer_.token_bytes(ids[size_t(begin + n)]).size();
  return n;
}

void EncodedText::leave(int64_t begin, int64_t end) {
  if (begin >= end) return;
  if (!untrained.empty() && untrained.back().end == begin) untrained.back().end = end;
  else untrained.push_back({begin, end});
}

void EncodedText::clear() {
  ids = {}, untrained = {}, embedded = {}, unread = {};
  role.clear(), head_.clear();
  seconds = 0;
}

}  // namespace tw
