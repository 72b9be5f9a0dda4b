// Lines of JSON (https://jsonlines.org): each is a document. Its text is the field "text", "content" or "body", or it is a conversation
// (conversation.h). Where roles are not known, what the turns say is the text.
#include <nlohmann/json.hpp>
#include <string>

#include "src/core/error.h"
#include "src/core/format.h"
#include "src/core/json_guard.h"
#include "src/core/utf8.h"
#include "src/data/formats/conversation.h"
#include "src/data/formats/format.h"

namespace tw {
namespace {

constexpr std::string_view kExtensions[] = {"jsonl", "ndjson"};
constexpr size_t kMaxLine = size_t(64) << 20;
constexpr JsonLimits kLimits = {.depth = 64, .values = size_t(1) << 18};

using Json = nlohmann::json;

const std::string* text_field(const Json& object) {
  for (const char* name : {"text", "content", "body", "value"})
    if (const auto it = object.find(name); it != object.end() && it->is_string()) return it->get_ptr<const std::string*>();
  return nullptr;
}

void append_turn(std::string& text, const std::string& turn) {
  if (!turn.empty()) text += (text.empty() ? "" : "\n\n") + turn;
}

// "" where there is none.
std::string text_of(const Json& record) {
  if (record.is_string()) return record.get<std::string>();
  if (!record.is_object()) return "";
  if (const std::string* text = text_field(record)) return *text;
  std::string all;
  for (const char* name : {"messages", "conversations", "conversation"}) {
    const auto turns = record.find(name);
    if (turns == record.end() || !turns->is_array()) continue;
    for (const Json& turn : *turns) {
      if (!turn.is_object()) continue;
      if (const std::string* text = text_field(turn)) append_turn(all, *text);
      else if (const auto parts = turn.find("content"); parts != turn.end() && parts->is_array())
        for (const Json& part : *parts)
          if (part.is_object())
            if (const std::string* text = text_field(part)) append_turn(all, *text);
    }
  }
  return all;
}

struct Count {
  int64_t lines = 0, first = 0;
  void at(int64_t line) {
    if (lines++ == 0) first = line;
  }
};

void read_json_lines(TextReader& file, DocumentSink& sink) {
  std::string block, line;
  int64_t number = 0, documents = 0;
  Count no_json, no_text, too_long;
  bool skipping = false;  // the rest of a line that is too long
  const auto take = [&] {
    ++number;
    if (skipping) return too_long.at(number);
    if (line.find_first_not_of(" \t\r") == line.npos) return;
    Json record;
    try {
      check_json_structure(line, kLimits, "line");
      record = Json::parse(line);
    } catch (const std::exception&) {
      return no_json.at(number);
    }
    if (const std::vector<Turn> turns = conversation_of(record); !turns.empty()) {
      if (documents++ > 0) sink.end_document();
      for (const Turn& turn : turns) {
        sink.turn(turn.role, &turn == turns.data());
        sink.text(repaired_utf8(turn.text));
      }
      return;
    }
    const std::string text = text_of(record);
    if (text.find_first_not_of(" \t\r\n") == text.npos) return no_text.at(number);
    if (documents++ > 0) sink.end_document();
    sink.text(repaired_utf8(text));
  };
  while (file.next(block)) {
    for (size_t begin = 0; begin < block.size();) {
      const size_t end = block.find('\n', begin), stop = std::min(end, block.size());
      if (!skipping) line.append(block, begin, stop - begin);
      if (line.size() > kMaxLine) skipping = true, line = std::string();
      begin = stop;
      if (end == block.npos) break;
      take();
      line.clear(), skipping = false;
      ++begin;
    }
  }
  if (!line.empty() || skipping) take();
  const auto say = [&](const Count& count, const std::string& what) {
    return count.lines == 0 ? "" : fmt::format("{} of {} lines {}, the first is line {}", count.lines, number, what, count.first);
  };
  const std::string why[] = {say(no_json, "are no JSON"), say(no_text, "have no text (text, content, body, messages, conversations, prompt and completion, question and answer)"),
                             say(too_long, "are longer than " + human_bytes(double(kMaxLine)))};
  TW_CHECK(documents > 0, data, "no line with a text{}{}{}{}", number ? ": " : "", why[0], why[1].empty() || why[0].empty() ? "" : "; ", why[1].empty() ? why[2] : why[1]);
  for (const std::string& w : why)
    if (!w.empty()) sink.note(w);
}

}  // namespace

const Format kJsonLines = {.kind = "jsonl", .extensions = kExtensions, .from_text = read_json_lines};

}  // namespace tw
