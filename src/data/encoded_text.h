// Text, turns of conversations and files of other kinds as one row of ids, with what of it is not to be predicted.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/codec/text/chat_template.h"
#include "src/codec/text/tokenizer.h"
#include "src/data/scan.h"
#include "src/data/token_file.h"
#include "src/data/tokenize.h"

namespace tw {

// Of conversations only what an assistant says, and the end of it, is to be predicted.
class EncodedText {
 public:
  // chat: nullptr = there are no turns. Both outlive it.
  EncodedText(const TextTokenizer& tokenizer, const ChatTemplate* chat) : tokenizer_(tokenizer), chat_(chat) {}
  void add(std::string_view text);
  void begin_turn(const std::string& role);
  void end_turn();
  // eod: -1 = none.
  void end_document(int32_t eod);
  // A head whose text is elsewhere stands by itself.
  void finish_head();
  void clear();  // and gives the memory back

  std::vector<int32_t> ids;
  std::vector<TokenFile::Range> untrained;  // of ids
  std::string role;                         // whose turn is open; "" = nobody's
  double seconds = 0;                       // text took
  std::vector<CodedTokens> embedded;                               // files of codecs' kinds that stand in it
  std::vector<std::pair<const ScannedFile*, std::string>> unread;  // and those that could not be read, with the reason

 private:
  int64_t tokens_of_head(int64_t begin) const;
  void leave(int64_t begin) { leave(begin, int64_t(ids.size())); }
  void leave(int64_t begin, int64_t end);
  const TextTokenizer& tokenizer_;
  const ChatTemplate* chat_;
  std::string head_;  // that stands before the turn's text
};

}  // namespace tw
