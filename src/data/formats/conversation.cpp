#include "src/data/formats/conversation.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "src/core/utf8.h"

namespace tw {
namespace {

using Json = nlohmann::json;

std::string text_field(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

bool blank(const std::string& text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

std::string role_of(const std::string& name) {
  constexpr std::array<std::pair<const char*, const char*>, 11> kRoles = {{{"system", "system"}, {"developer", "system"}, {"user", "user"}, {"human", "user"}, {"customer", "user"},
                                                                          {"prompter", "user"}, {"assistant", "assistant"}, {"gpt", "assistant"}, {"model", "assistant"},
                                                                          {"bot", "assistant"}, {"chatgpt", "assistant"}}};
  const std::string lower = ascii_lower(name);
  const auto found = std::find_if(kRoles.begin(), kRoles.end(), [&](const auto& r) { return lower == r.first; });
  return found == kRoles.end() ? "" : found->second;
}

// A text, or the texts of its parts.
std::string content_of(const Json& turn) {
  for (const char* name : {"content", "value", "text"})
    if (const auto it = turn.find(name); it != turn.end()) {
      if (it->is_string()) return it->get<std::string>();
      std::string all;
      if (it->is_array())
        for (const Json& part : *it)
          if (part.is_object())
            if (const std::string text = text_field(part, "text"); !text.empty()) all += (all.empty() ? "" : "\n\n") + text;
      return all;
    }
  return "";
}

std::vector<Turn> turns_of(const Json& list) {
  std::vector<Turn> turns;
  for (const Json& turn : list) {
    if (!turn.is_object()) return {};
    std::string role = text_field(turn, "role");
    if (role.empty()) role = text_field(turn, "from");
    Turn t{role_of(role), content_of(turn)};
    if (t.role.empty()) return {};
    if (!blank(t.text)) turns.push_back(std::move(t));
  }
  return turns;
}

std::vector<Turn> pair_of(const Json& record) {
  std::string asked, answered;
  for (const auto& [question, answer] : {std::pair("instruction", "output"), std::pair("instruction", "response"), std::pair("prompt", "completion"), std::pair("prompt", "response"),
                                         std::pair("question", "answer")})
    if (record.contains(question) && record.contains(answer)) {
      asked = text_field(record, question), answered = text_field(record, answer);
      if (const std::string input = text_field(record, "input"); !blank(input)) asked += "\n\n" + input;
      break;
    }
  if (blank(asked) || blank(answered)) return {};
  std::vector<Turn> turns;
  if (std::string system = text_field(record, "system"); !blank(system)) turns.push_back({"system", std::move(system)});
  turns.push_back({"user", std::move(asked)});
  turns.push_back({"assistant", std::move(answered)});
  return turns;
}

}  // namespace

std::vector<Turn> conversation_of(const Json& record) {
  if (!record.is_object()) return {};
  std::vector<Turn> turns;
  for (const char* name : {"messages", "conversations", "conversation"})
    if (const auto list = record.find(name); list != record.end() && list->is_array() && turns.empty()) turns = turns_of(*list);
  if (turns.empty()) turns = pair_of(record);
  const bool answers = std::any_of(turns.begin(), turns.end(), [](const Turn& t) { return t.role == "assistant"; });
  return answers ? turns : std::vector<Turn>();
}

}  // namespace tw
