// One value: from text, checked against its key, and back to TOML.
#pragma once
#include <string>
#include <string_view>

#include "src/config/load.h"

namespace tw {

// Turns what a file holds into what the key keeps: quantities such as "64Ki" and whole numbers for real keys.
// Error(config) "WHERE: KEY ..." where type or range is wrong.
ConfigValue checked_value(const ConfigKey& key, ConfigValue raw, std::string_view where);

// From text as on the command line (lists excepted), checked.
ConfigValue value_from_text(const ConfigKey& key, std::string_view text, std::string_view where);

// "64Ki" -> 65536, "30m" -> 1800, "50kJ" -> 50000. False where `text` is no such quantity.
bool parse_quantity(KeyType type, std::string_view text, double& value);

std::string to_toml_text(const ConfigValue& value);
std::string toml_string(std::string_view text);  // in quotes, escaped

}  // namespace tw
