// Conversations in a JSON record: chats, questions with answers, instructions with what was done.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tw {

struct Turn {
  std::string role;  // "system", "user", "assistant"
  std::string text;
};

// The turns of a record that is one of
//   messages: [{role, content}], content a text or a list of parts with "text"   (chat completions)
//   conversations, conversation: [{from, value}]                                 (ShareGPT)
//   instruction, input (may be missing), output                                  (Alpaca)
//   prompt, completion or response; question, answer                             with "system" where it has one
// Names of roles that others use ("human", "gpt", "model", "bot") are those above. Empty where it is none, has a role that is not known, or nothing
// that an assistant says.
std::vector<Turn> conversation_of(const nlohmann::json& record);

}  // namespace tw
