// Every setting there is, in one table: loading, the command line and docs/configuration.md read it.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace tw {

enum class KeyType {
  integer,    // 12
  real,       // 0.5, 1e-4 or 3
  boolean,    // true or false
  text,       // "..."
  text_list,  // ["a", "b"]
  choice,     // one word of `choices`
  size,       // a count: 512, "64Ki" (x 1024), "10M" (x 1000000); kept as integer
  duration,   // seconds: 90, "30m", "2h"; kept as real
  energy      // joules: 500, "50kJ", "0.2kWh"; kept as real
};

struct ConfigKey {
  std::string_view name;           // "section.key"
  KeyType type;
  std::string_view default_value;  // as it is written on the command line
  double low, high;                // of numbers, both included
  std::string_view choices;        // of a choice, separated by a space
  std::string_view help;           // one sentence for docs/configuration.md

  std::string_view section() const { return name.substr(0, name.find('.')); }
  std::string_view leaf() const { return name.substr(name.find('.') + 1); }
};

struct ConfigSection {
  std::string_view name, help;
};

std::span<const ConfigKey> config_keys();          // grouped by section
std::span<const ConfigSection> config_sections();  // in the order of the keys
const ConfigKey* find_config_key(std::string_view name);  // nullptr = no such key

// The key, or where `name` has no dot the section, most like `name`; "" where nothing is near.
// Distance: Damerau-Levenshtein (restricted: neighbours swapped, letters changed, lost or added).
std::string nearest_config_name(std::string_view name);
int edit_distance(std::string_view a, std::string_view b);

std::string_view name_of(KeyType type);  // "whole number", "true or false", ...

// docs/configuration.md, made from the table.
std::string config_reference_markdown();

}  // namespace tw
