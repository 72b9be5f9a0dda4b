#include "src/config/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "src/config/files.h"
#include "src/config/values.h"
#include "src/core/error.h"
#include "src/core/utf8.h"

namespace tw {
namespace {

constexpr size_t kMaxIncludes = 8;

std::string printable(std::string_view text, size_t limit = 200) {
  std::string out(text.substr(0, limit));
  if (!is_utf8(out))
    for (char& c : out)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text.size() > limit ? out + "..." : out;
}

[[noreturn]] void refuse_name(std::string_view name, std::string_view where) {
  const size_t dot = name.find('.');
  const std::string_view section = name.substr(0, dot);
  const bool section_known = std::any_of(config_sections().begin(), config_sections().end(),
                                         [&](const ConfigSection& s) { return s.name == section; });
  const std::string nearest = nearest_config_name(name);
  const std::string hint = nearest.empty() ? "; docs/configuration.md lists all settings"
                                           : fmt::format("; did you mean {}?", nearest);
  if (dot != name.npos && !section_known)
    TW_FAIL(config, "{}: unknown section [{}] in {}{}", where, printable(section), printable(name), hint);
  TW_FAIL(config, "{}: unknown {} {}{}", where, dot == name.npos ? "section or key" : "key", printable(name), hint);
}

void load_file(Config& config, const std::filesystem::path& path, std::vector<std::filesystem::path>& open,
               std::vector<FileNode>* sweeps) {
  std::error_code error;
  std::filesystem::path identity = std::filesystem::weakly_canonical(path, error);
  if (error) identity = path;
  for (const auto& outer : open)
    TW_CHECK(outer != identity, config, "{}: include goes in a circle through {}", open.back().string(), path.string());
  TW_CHECK(open.size() < kMaxIncludes, config, "{}: includes are nested deeper than {}", path.string(), kMaxIncludes);
  open.push_back(identity);

  const std::vector<FileSetting> settings = read_config_file(path);
  // The included file first, so that this one's values win.
  for (const FileSetting& setting : settings) {
    if (setting.name != "include") continue;
    const auto* base = setting.value ? std::get_if<std::string>(&*setting.value) : nullptr;
    TW_CHECK(base && !base->empty() && base->find('\0') == base->npos, config,
             "{}: include wants the path of one file, for example include = \"base.toml\"", setting.place);
    try {
      load_file(config, path.parent_path() / *base, open, sweeps);
    } catch (const Error& e) {
      if (e.code() != ExitCode::no_input) throw;
      TW_FAIL(no_input, "{}: include: {}", setting.place, e.what());
    }
  }
  for (const FileSetting& setting : settings) {
    if (setting.name == "include") continue;
    if (setting.node) {
      TW_CHECK(sweeps, config, "{}: [{}] is for the command sweep: keep it in a file of its own that takes in the settings by include = "
               "\"settings.toml\"",
               setting.name_place, setting.name);
      sweeps->push_back(*setting.node);
      continue;
    }
    const ConfigKey* key = find_config_key(setting.name);
    if (!key) {
      const bool section = std::any_of(config_sections().begin(), config_sections().end(),
                                       [&](const ConfigSection& s) { return s.name == setting.name; });
      if (section && setting.kind == "object") continue;  // an empty section of a JSON file
      TW_CHECK(!section, config, "{}: {} is a section: write [{}] and the keys below it", setting.name_place, setting.name,
               setting.name);
      refuse_name(setting.name, setting.name_place);
    }
    TW_CHECK(setting.value, config, "{}: {} wants a {}, not this {}", setting.place, key->name, name_of(key->type),
             setting.kind);
    config.set(key->name, *setting.value, printable(setting.place, 4096));
  }
  open.pop_back();
}

void apply_overrides(Config& config, const std::vector<std::string>& overrides) {
  const std::string where = "command line";
  for (size_t i = 0; i < overrides.size(); ++i) {
    const std::string& word = overrides[i];
    TW_CHECK(word.size() > 2 && word.starts_with("--"), config, "{}: \"{}\" is no setting: --section.key value", where,
             printable(word));
    const size_t equals = word.find('=');
    const std::string name = word.substr(2, equals == word.npos ? word.npos : equals - 2);
    if (!find_config_key(name)) refuse_name(name, where);
    if (equals != word.npos) {
      config.set_text(name, word.substr(equals + 1), where);
      continue;
    }
    TW_CHECK(i + 1 < overrides.size() && !overrides[i + 1].starts_with("--"), config,
             "{}: --{} has no value: --{} VALUE (or --{}=VALUE where the value begins with --)", where, name, name, name);
    config.set_text(name, overrides[++i], where);
  }
}

}  // namespace

Config::Config() {
  static const auto defaults = [] {
    std::map<std::string, Entry, std::less<>> entries;
    for (const ConfigKey& key : config_keys()) {
      ConfigValue value = key.type == KeyType::text_list
                              ? ConfigValue(parse_text_list(key.default_value).value())
                              : value_from_text(key, key.default_value, "default");
      entries[std::string(key.name)] = {std::move(value), "default"};
    }
    return entries;
  }();
  entries_ = defaults;
}

const Config::Entry& Config::entry(std::string_view key) const {
  const auto found = entries_.find(key);
  TW_CHECK(found != entries_.end(), bug, "the table of settings has no {}", key);
  return found->second;
}

const std::string& Config::origin(std::string_view key) const { return entry(key).origin; }

template <class T>
T Config::get(std::string_view key) const {
  const ConfigValue& value = entry(key).value;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    const auto* whole = std::get_if<int64_t>(&value);
    TW_CHECK(whole, bug, "{} is no whole number", key);
    TW_CHECK(std::in_range<T>(*whole), config, "{}: {} = {} is out of range: at most {}", origin(key), key, *whole,
             std::numeric_limits<T>::max());
    return T(*whole);
  } else {
    const auto* typed = std::get_if<T>(&value);
    TW_CHECK(typed, bug, "{} is asked for with another type than the table has", key);
    return *typed;
  }
}
template int Config::get<int>(std::string_view) const;
template int64_t Config::get<int64_t>(std::string_view) const;
template uint64_t Config::get<uint64_t>(std::string_view) const;
template double Config::get<double>(std::string_view) const;
template bool Config::get<bool>(std::string_view) const;
template std::string Config::get<std::string>(std::string_view) const;
template std::vector<std::string> Config::get<std::vector<std::string>>(std::string_view) const;

void Config::set(std::string_view key, ConfigValue value, std::string origin) {
  const ConfigKey* known = find_config_key(key);
  TW_CHECK(known, bug, "the table of settings has no {}", key);
  value = checked_value(*known, std::move(value), origin);
  entries_[std::string(key)] = {std::move(value), std::move(origin)};
}

void Config::set_text(std::string_view key, std::string_view text, std::string origin) {
  const ConfigKey* known = find_config_key(key);
  TW_CHECK(known, bug, "the table of settings has no {}", key);
  if (known->type == KeyType::text_list && text.starts_with('[')) {
    auto list = parse_text_list(text);
    TW_CHECK(list, config, "{}: {} wants a list of texts, for example [\"a\", \"b\"], not {}", origin, key, printable(text));
    set(key, std::move(*list), std::move(origin));
    return;
  }
  ConfigValue value = value_from_text(*known, text, origin);
  entries_[std::string(key)] = {std::move(value), std::move(origin)};
}

void Config::check() const {
  std::string lengths;
  int given = 0;
  for (const char* key : {"training.steps", "training.epochs", "training.max_tokens"}) {
    const ConfigValue& value = entry(key).value;
    const auto* whole = std::get_if<int64_t>(&value);
    if (whole ? *whole == 0 : std::get<double>(value) == 0) continue;
    lengths += fmt::format("{}{} = {} ({})", given++ ? ", " : "", key, to_toml_text(value), origin(key));
  }
  TW_CHECK(given <= 1, config, "{}: only one may decide the length of the run; set the others to 0", lengths);

  const auto virtual_ranks = get<int64_t>("parallelism.virtual_ranks");
  TW_CHECK((virtual_ranks & (virtual_ranks - 1)) == 0, config, "{}: parallelism.virtual_ranks = {} is not a power of two",
           origin("parallelism.virtual_ranks"), virtual_ranks);
  const auto ranks = get<int64_t>("parallelism.data_parallel_size");
  TW_CHECK(ranks != 0, config, "{}: parallelism.data_parallel_size = 0: a number of ranks, or -1 for all",
           origin("parallelism.data_parallel_size"));
  const auto bits = get<int64_t>("data.raw_bits");
  TW_CHECK(bits == 0 || bits == 16 || bits == 32, config, "{}: data.raw_bits = {} is none of 0, 16, 32",
           origin("data.raw_bits"), bits);

  const auto split = get<std::string>("data.split");
  const char* at = split.data();
  const char* const end = at + split.size();
  double sum = 0;
  bool good = true;
  for (int part = 0; good && part < 3; ++part) {
    double share = 0;
    if (part > 0) good = at != end && *at++ == ',';
    while (at != end && *at == ' ') ++at;
    const auto [next, error] = std::from_chars(at, end, share);
    good = good && error == std::errc() && std::isfinite(share) && share >= 0 && (part > 0 || share > 0);
    sum += share;
    at = next;
  }
  TW_CHECK(good && at == end && std::fabs(sum - 1) < 1e-6, config,
           "{}: data.split = \"{}\" must be three shares whose sum is 1, for example \"0.9,0.05,0.05\"",
           origin("data.split"), printable(split));
}

std::string Config::text_of(std::string_view key) const { return to_toml_text(entry(key).value); }

std::string Config::to_toml(bool with_defaults) const {
  std::string out = fmt::format("# {} of the run; behind each value stands where it comes from.\n",
                                with_defaults ? "All settings" : "Settings");
  for (const ConfigSection& section : config_sections()) {
    bool open = false;
    for (const ConfigKey& key : config_keys()) {
      const Entry& e = entry(key.name);
      if (key.section() != section.name || (!with_defaults && e.origin == "default")) continue;
      if (!std::exchange(open, true)) out += fmt::format("\n[{}]\n", section.name);
      out += fmt::format("{} = {}  # {}\n", key.leaf(), to_toml_text(e.value), printable(e.origin, 4096));
    }
  }
  return out;
}

bool Config::operator==(const Config& other) const {
  return std::equal(entries_.begin(), entries_.end(), other.entries_.begin(), other.entries_.end(),
                    [](const auto& a, const auto& b) { return a.first == b.first && a.second.value == b.second.value; });
}

Config load_config(const std::vector<std::filesystem::path>& paths, const std::vector<std::string>& overrides,
                   std::vector<FileNode>* sweeps) {
  Config config;
  for (const auto& path : paths) {
    std::vector<std::filesystem::path> open;
    load_file(config, path, open, sweeps);
  }
  apply_overrides(config, overrides);
  config.check();
  return config;
}

}  // namespace tw
