// Strict settings: TOML or JSON files, then the command line; every value knows where it came from.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "src/config/schema.h"

namespace tw {

using ConfigValue = std::variant<int64_t, double, bool, std::string, std::vector<std::string>>;

struct FileNode;

class Config {
 public:
  Config();  // every key at its default

  // T: int, int64_t, uint64_t, double, bool, std::string or std::vector<std::string>, as the key's type is
  // (integer and size: the three integers; real, duration and energy: double). Error(bug) where the table
  // has no such key or another type.
  template <class T>
  T get(std::string_view key) const;
  const std::string& origin(std::string_view key) const;  // "default", "FILE:LINE:COLUMN", "command line", "derived"
  bool is_default(std::string_view key) const { return origin(key) == "default"; }

  // Checks type and range: Error(config) that begins with `origin`. Error(bug) where there is no such key.
  void set(std::string_view key, ConfigValue value, std::string origin);
  // The same from text as it stands on the command line: 12, true, name, ["a", "b"].
  void set_text(std::string_view key, std::string_view text, std::string origin);

  // What single keys cannot say: at most one of training.steps, epochs and max_tokens, a split that adds up, a power
  // of two. Error(config). load_config has called it.
  void check() const;

  // Every key with its value, or those alone that are not at their default, and its origin as a comment. Loads back
  // equal.
  std::string to_toml(bool with_defaults = true) const;
  std::string text_of(std::string_view key) const;  // the value as it stands there
  bool operator==(const Config& other) const;  // values alone

 private:
  struct Entry {
    ConfigValue value;
    std::string origin;
  };
  const Entry& entry(std::string_view key) const;
  std::map<std::string, Entry, std::less<>> entries_;
};

// Defaults, then the files in order (*.json is read as JSON, everything else as TOML; a file's
// include = "base.toml", relative to it, comes before its own values), then the overrides:
// "--section.key=value" or "--section.key" "value". A list is written ["a", "b"]; other text is its only item.
// Paths among the values are left as written: they are relative to the working directory.
// Error(config) names file, line, column, key, the reason and the nearest name; Error(no_input) where a
// file cannot be read.
// sweeps: gets the tables [sweep] of the files, the winning one last; without it such a table is an Error(config).
Config load_config(const std::vector<std::filesystem::path>& paths, const std::vector<std::string>& overrides,
                   std::vector<FileNode>* sweeps = nullptr);

}  // namespace tw
