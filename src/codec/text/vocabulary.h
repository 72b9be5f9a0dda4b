// The {"token": id} table of a JSON file: tokens by id, ids by their text in the file.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "src/codec/text/json_fields.h"
#include "src/codec/text/spec.h"

namespace tw {

class Vocabulary {
 public:
  // Fills tokens (as the file writes them) and kinds (normal, hole) of `spec`.
  Vocabulary(TokenizerSpec& spec, const JsonNode& table);
  // -1 where it is not there.
  int32_t find(std::string_view text) const;
  // `where` says for an error which entry of the file it is.
  using Where = std::function<std::string()>;
  void add(int32_t id, const std::string& text, const Where& where);
  // Its rank is its place in the list.
  void add_merge(std::string_view left, std::string_view right, const Where& where);
  // The tokens of a byte-level vocabulary become bytes. One that cannot be becomes special: its text stands for itself.
  void to_bytes();

 private:
  TokenizerSpec& spec_;
  std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace tw
