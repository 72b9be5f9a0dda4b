#include "src/config/values.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <sstream>

#include "src/core/error.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

struct Unit {
  KeyType type;
  std::string_view suffix;
  double factor;
};
constexpr Unit kUnits[] = {
    {KeyType::size, "", 1},          {KeyType::size, "Ki", 1024},       {KeyType::size, "Mi", 1048576},
    {KeyType::size, "Gi", 0x1p30},   {KeyType::size, "Ti", 0x1p40},     {KeyType::size, "k", 1e3},
    {KeyType::size, "M", 1e6},       {KeyType::size, "G", 1e9},         {KeyType::size, "T", 1e12},
    {KeyType::duration, "", 1},      {KeyType::duration, "ms", 1e-3},   {KeyType::duration, "s", 1},
    {KeyType::duration, "m", 60},    {KeyType::duration, "min", 60},    {KeyType::duration, "h", 3600},
    {KeyType::duration, "d", 86400}, {KeyType::energy, "", 1},          {KeyType::energy, "J", 1},
    {KeyType::energy, "kJ", 1e3},    {KeyType::energy, "MJ", 1e6},      {KeyType::energy, "GJ", 1e9},
    {KeyType::energy, "Wh", 3600},   {KeyType::energy, "kWh", 3.6e6},   {KeyType::energy, "MWh", 3.6e9},
};

std::string_view example(KeyType type) {
  switch (type) {
    case KeyType::integer: return "12";
    case KeyType::real: return "0.5 or 1e-4";
    case KeyType::boolean: return "true or false";
    case KeyType::text: return "\"...\"";
    case KeyType::text_list: return "[\"a\", \"b\"]";
    case KeyType::choice: return "a word in quotes";
    case KeyType::size: return "512 or \"64Ki\"";
    case KeyType::duration: return "90 or \"30m\"";
    case KeyType::energy: return "500 or \"50kJ\"";
  }
  return "";
}

std::string shortened(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

[[noreturn]] void refuse_type(const ConfigKey& key, const std::string& given, std::string_view where) {
  TW_FAIL(config, "{}: {} wants a {}, for example {}, not {}", where, key.name, name_of(key.type), example(key.type),
          shortened(given));
}

void check_text(const ConfigKey& key, const std::string& text, std::string_view where) {
  TW_CHECK(is_utf8(text) && text.find('\0') == text.npos, config, "{}: {} is not valid UTF-8 text", where, key.name);
}

void check_range(const ConfigKey& key, double value, std::string_view where) {
  TW_CHECK(std::isfinite(value) && value >= key.low && value <= key.high, config,
           "{}: {} = {} is out of range: {} to {}", where, key.name, value, key.low, key.high);
}

void check_choice(const ConfigKey& key, const std::string& word, std::string_view where) {
  std::istringstream words{std::string(key.choices)};
  std::string known, nearest;
  int best = std::max<int>(2, int(word.size()) / 3) + 1;
  while (words >> known) {
    if (known == word) return;
    const int distance = word.size() > 100 ? best : edit_distance(word, known);
    if (distance < best) {
      best = distance;
      nearest = known;
    }
  }
  std::string all(key.choices);
  for (size_t at = 0; (at = all.find(' ', at)) != all.npos; at += 2) all.replace(at, 1, ", ");
  TW_FAIL(config, "{}: {} = \"{}\" is not known: {}{}", where, key.name, shortened(word), all,
          nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest));
}

}  // namespace

bool parse_quantity(KeyType type, std::string_view text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !std::isfinite(value)) return false;
  std::string_view suffix = text.substr(size_t(end - text.data()));
  if (suffix.size() > 1 && suffix.front() == ' ') suffix.remove_prefix(1);
  for (const Unit& unit : kUnits) {
    if (unit.type != type || unit.suffix != suffix) continue;
    value *= unit.factor;
    return std::isfinite(value) && (type != KeyType::size || value == std::floor(value));
  }
  return false;
}

ConfigValue checked_value(const ConfigKey& key, ConfigValue raw, std::string_view where) {
  switch (key.type) {
    case KeyType::integer:
    case KeyType::size: {
      if (const auto* word = std::get_if<std::string>(&raw); word && key.type == KeyType::size) {
        double value = 0;
        if (!parse_quantity(key.type, *word, value)) refuse_type(key, to_toml_text(raw), where);
        check_range(key, value, where);
        return int64_t(value);
      }
      const auto* value = std::get_if<int64_t>(&raw);
      if (!value) refuse_type(key, to_toml_text(raw), where);
      check_range(key, double(*value), where);
      return raw;
    }
    case KeyType::real:
    case KeyType::duration:
    case KeyType::energy: {
      double value = 0;
      if (const auto* number = std::get_if<double>(&raw)) {
        value = *number;
      } else if (const auto* whole = std::get_if<int64_t>(&raw)) {
        value = double(*whole);
      } else if (const auto* word = std::get_if<std::string>(&raw);
                 !word || key.type == KeyType::real || !parse_quantity(key.type, *word, value)) {
        refuse_type(key, to_toml_text(raw), where);
      }
      check_range(key, value, where);
      return value;
    }
    case KeyType::boolean:
      if (!std::holds_alternative<bool>(raw)) refuse_type(key, to_toml_text(raw), where);
      return raw;
    case KeyType::text:
    case KeyType::choice: {
      const auto* word = std::get_if<std::string>(&raw);
      if (!word) refuse_type(key, to_toml_text(raw), where);
      check_text(key, *word, where);
      if (key.type == KeyType::choice) check_choice(key, *word, where);
      return raw;
    }
    case KeyType::text_list: {
      const auto* list = std::get_if<std::vector<std::string>>(&raw);
      if (!list) refuse_type(key, to_toml_text(raw), where);
      for (const auto& item : *list) check_text(key, item, where);
      return raw;
    }
  }
  TW_FAIL(bug, "{} has no type", key.name);
}

ConfigValue value_from_text(const ConfigKey& key, std::string_view text, std::string_view where) {
  const char* const last = text.data() + text.size();
  const auto number = [&](auto value) -> ConfigValue {
    const auto [end, error] = std::from_chars(text.data(), last, value);
    if (error != std::errc() || end != last) refuse_type(key, toml_string(text), where);
    return value;
  };
  switch (key.type) {
    case KeyType::integer: return checked_value(key, number(int64_t{}), where);
    case KeyType::real: return checked_value(key, number(double{}), where);
    case KeyType::boolean:
      if (text != "true" && text != "false") refuse_type(key, toml_string(text), where);
      return text == "true";
    case KeyType::text_list:
      return checked_value(key, text.empty() ? std::vector<std::string>{} : std::vector{std::string(text)}, where);
    default: return checked_value(key, std::string(text), where);
  }
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string to_toml_text(const ConfigValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return fmt::format("{}", *number);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&value)) return toml_string(*text);
  if (const auto* real = std::get_if<double>(&value)) {
    std::string text = fmt::format("{}", *real);  // shortest that reads back equal
    return text.find_first_of(".en") == text.npos ? text + ".0" : text;
  }
  std::string out = "[";
  for (const auto& item : std::get<std::vector<std::string>>(value)) {
    if (out.size() > 1) out += ", ";
    out += toml_string(item);
  }
  return out + "]";
}

}  // namespace tw
