// Files of settings, read into one list of "section.key" and value with their places.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/config/load.h"

namespace tw {

// A part of a file that is no setting: a table or list of any depth, and where its parts stand.
struct FileNode {
  std::string place;                                          // "FILE:LINE:COLUMN"; in JSON "FILE:/section/key"
  std::string kind;                                           // "table", "array", "string", ...
  std::optional<ConfigValue> value;                           // of what is neither table nor list
  std::vector<FileNode> items;                                // of a list
  std::vector<std::pair<std::string, FileNode>> members = {};  // of a table, sorted by name
  std::string name_place = {};                                // of its name, where it is a member
};

struct FileSetting {
  std::string name;        // "section.key", or what stands there instead
  std::string name_place;  // "FILE:LINE:COLUMN"; in JSON "FILE:/section/key"
  std::string place;       // of the value
  std::optional<ConfigValue> value;  // nothing where it is of no type that a setting has
  std::string kind;                  // what it is then: "table", "date", ...
  std::shared_ptr<const FileNode> node = nullptr;  // of the table [sweep], which is given whole under the name "sweep"
};

// Error(config) for syntax and duplicates with line and column, and for nesting deeper than any setting needs.
// Error(no_input) where the file cannot be read.
std::vector<FileSetting> read_config_file(const std::filesystem::path& path);

// ["a", "b"]: nothing where `text` is no list of texts.
std::optional<std::vector<std::string>> parse_text_list(std::string_view text);

}  // namespace tw
