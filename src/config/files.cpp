#include "src/config/files.h"

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <toml++/toml.h>

#include "src/config/values.h"
#include "src/core/error.h"
#include "src/core/file.h"

namespace tw {
namespace {

constexpr size_t kMaxBytes = size_t(1) << 20;
constexpr int kMaxNesting = 8;
constexpr std::string_view kSweepSection = "sweep";

// toml++ limits the nesting of brackets, but not of a.b.c.d..., and frees its tree by recursion. So both are counted
// before it reads the file, outside of texts and comments.
void check_nesting(std::string_view text, const std::string& file) {
  int brackets = 0, dots = 0, line = 1;
  const auto limit = [&](int depth) {
    TW_CHECK(depth <= kMaxNesting, config, "{}:{}: nested too deep: a setting is section.key = value", file, line);
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      const std::string_view triple = c == '"' ? "\"\"\"" : "'''";
      const bool several = text.substr(i, 3) == triple;
      for (i += several ? 3 : 1; i < text.size(); ++i) {
        if (c == '"' && text[i] == '\\') {
          if (++i < text.size() && text[i] == '\n') {
            ++line;
            if (!several) break;
          }
        } else if (text[i] == '\n') {
          ++line;
          if (!several) break;  // toml++ refuses it here
        } else if (text[i] == c && (!several || text.substr(i, 3) == triple)) {
          if (several) i += 2;
          // Up to two more quotes belong to the text they close.
          for (int k = 0; several && k < 2 && i + 1 < text.size() && text[i + 1] == c; ++k) ++i;
          break;
        }
      }
      continue;
    }
    if (c == '#') {
      while (i + 1 < text.size() && text[i + 1] != '\n') ++i;
    } else if (c == '\n') {
      ++line;
      dots = 0;
    } else if (c == '.') {
      limit(++dots);
    } else if (c == '[' || c == '{') {
      dots = 0;
      limit(++brackets);
    } else if (c == ']' || c == '}') {
      dots = 0;
      brackets = std::max(0, brackets - 1);
    } else if (c == '=' || c == ',') {
      dots = 0;
    }
  }
}

std::string place_of(const std::string& file, const toml::source_region& source) {
  return fmt::format("{}:{}:{}", file, source.begin.line, source.begin.column);
}

std::string kind_of(const toml::node& node) {
  std::ostringstream name;
  name << node.type();
  return name.str();
}

std::optional<std::vector<std::string>> texts_of(const toml::array& array) {
  std::vector<std::string> list;
  for (const auto& item : array) {
    const auto text = item.value_exact<std::string>();
    if (!text) return std::nullopt;
    list.push_back(*text);
  }
  return list;
}

std::optional<ConfigValue> value_of(const toml::node& node) {
  if (const auto* v = node.as_integer()) return ConfigValue(v->get());
  if (const auto* v = node.as_floating_point()) return ConfigValue(v->get());
  if (const auto* v = node.as_boolean()) return ConfigValue(v->get());
  if (const auto* v = node.as_string()) return ConfigValue(v->get());
  if (const auto* v = node.as_array())
    if (auto list = texts_of(*v)) return ConfigValue(std::move(*list));
  return std::nullopt;
}

FileNode node_of(const std::string& file, const toml::node& node) {
  FileNode out{place_of(file, node.source()), kind_of(node), std::nullopt, {}};
  if (const auto* table = node.as_table()) {
    for (const auto& [key, member] : *table) {
      out.members.emplace_back(key.str(), node_of(file, member));
      out.members.back().second.name_place = place_of(file, key.source());
    }
  } else if (const auto* array = node.as_array()) {
    for (const auto& item : *array) out.items.push_back(node_of(file, item));
  } else {
    out.value = value_of(node);
  }
  return out;
}

std::vector<FileSetting> read_toml(const std::string& text, const std::string& file) {
  check_nesting(text, file);
  toml::table root;
  try {
    root = toml::parse(std::string_view(text), std::string_view(file));
  } catch (const toml::parse_error& e) {
    TW_FAIL(config, "{}: {}", place_of(file, e.source()), e.description());
  }
  std::vector<FileSetting> settings;
  const auto add = [&](std::string name, const toml::key& key, const toml::node& node) {
    settings.push_back({std::move(name), place_of(file, key.source()), place_of(file, node.source()), value_of(node),
                        kind_of(node)});
  };
  for (const auto& [section, node] : root) {
    const toml::table* table = node.as_table();
    if (!table) {
      add(std::string(section.str()), section, node);
      continue;
    }
    if (section.str() == kSweepSection) {
      add(std::string(section.str()), section, node);
      settings.back().node = std::make_shared<const FileNode>(node_of(file, node));
      continue;
    }
    const bool known = std::any_of(config_sections().begin(), config_sections().end(),
                                   [&](const ConfigSection& s) { return s.name == section.str(); });
    if (table->empty() && !known) add(std::string(section.str()), section, node);
    for (const auto& [key, value] : *table)
      add(fmt::format("{}.{}", section.str(), key.str()), key, value);
  }
  return settings;
}

FileNode node_of(const std::string& file, const std::string& pointer, const nlohmann::json& node,
                 std::optional<ConfigValue> (*value_of)(const nlohmann::json&)) {
  const std::string place = fmt::format("{}:{}", file, pointer);
  FileNode out{place, node.is_object() ? "table" : node.type_name(), std::nullopt, {}, {}, place};
  if (node.is_object()) {
    for (const auto& [key, member] : node.items())
      out.members.emplace_back(key, node_of(file, pointer + "/" + key, member, value_of));
  } else if (node.is_array()) {
    for (size_t i = 0; i < node.size(); ++i)
      out.items.push_back(node_of(file, fmt::format("{}/{}", pointer, i), node[i], value_of));
  } else {
    out.value = value_of(node);
  }
  return out;
}

std::vector<FileSetting> read_json(const std::string& text, const std::string& file) {
  using nlohmann::json;
  // The library keeps the last of two equal keys without a word.
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    TW_CHECK(depth <= kMaxNesting, config, "{}: nested too deep: a setting is {{\"section\": {{\"key\": value}}}}", file);
    if (event == json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key) {
      const auto name = value.get<std::string>();
      TW_CHECK(keys.back().insert(name).second, config, "{}: the key \"{}\" is given twice", file, name);
    }
    return true;
  };
  json root;
  try {
    root = json::parse(text, watch);
  } catch (const json::exception& e) {
    TW_FAIL(config, "{}: {}", file, e.what());
  }
  TW_CHECK(root.is_object(), config, "{}: not a JSON object of sections", file);
  const auto value_of = [](const json& node) -> std::optional<ConfigValue> {
    if (node.is_number_unsigned() && node.get<uint64_t>() > uint64_t(INT64_MAX)) return ConfigValue(node.get<double>());
    if (node.is_number_integer()) return ConfigValue(node.get<int64_t>());
    if (node.is_number_float()) return ConfigValue(node.get<double>());
    if (node.is_boolean()) return ConfigValue(node.get<bool>());
    if (node.is_string()) return ConfigValue(node.get<std::string>());
    if (!node.is_array()) return std::nullopt;
    std::vector<std::string> list;
    for (const auto& item : node) {
      if (!item.is_string()) return std::nullopt;
      list.push_back(item.get<std::string>());
    }
    return ConfigValue(std::move(list));
  };
  std::vector<FileSetting> settings;
  const auto add = [&](std::string name, const std::string& pointer, const json& node) {
    const std::string place = fmt::format("{}:{}", file, pointer);
    settings.push_back({std::move(name), place, place, value_of(node), node.type_name()});
  };
  for (const auto& [section, node] : root.items()) {
    if (section == kSweepSection && node.is_object()) {
      add(section, "/" + section, node);
      settings.back().node = std::make_shared<const FileNode>(node_of(file, "/" + section, node, value_of));
      continue;
    }
    if (!node.is_object() || node.empty()) {
      add(section, "/" + section, node);
      continue;
    }
    for (const auto& [key, value] : node.items()) add(section + "." + key, "/" + section + "/" + key, value);
  }
  return settings;
}

}  // namespace

std::vector<FileSetting> read_config_file(const std::filesystem::path& path) {
  std::error_code ignored;
  TW_CHECK(!std::filesystem::is_directory(path, ignored), no_input, "{} is a folder, not a file of settings",
           path.string());
  TW_CHECK(!std::filesystem::exists(path, ignored) || std::filesystem::is_regular_file(path, ignored), no_input,
           "{} is not a plain file", path.string());
  const int64_t bytes = tw::file_size(path);
  TW_CHECK(bytes <= int64_t(kMaxBytes), config, "{} has {} bytes; a file of settings has at most {}", path.string(), bytes,
           kMaxBytes);
  const std::string text = read_file(path, kMaxBytes);
  return path.extension() == ".json" ? read_json(text, path.string()) : read_toml(text, path.string());
}

std::optional<std::vector<std::string>> parse_text_list(std::string_view text) {
  const std::string document = "list = " + std::string(text);
  check_nesting(document, "list");
  try {
    const toml::table root = toml::parse(std::string_view(document));
    if (root.size() == 1)
      if (const auto* array = root["list"].as_array()) return texts_of(*array);
  } catch (const toml::parse_error&) {
  }
  return std::nullopt;
}

}  // namespace tw
