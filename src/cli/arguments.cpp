#include "src/cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "src/config/schema.h"
#include "src/core/error.h"
#include "src/core/log.h"

namespace tw {

struct Arguments::Parser {
  CLI::App app;
  std::vector<std::string> option_names;
  bool quiet = false, verbose = false;

  CLI::Option* add(const std::string& name, CLI::Option* option) {
    for (size_t begin = 0; begin <= name.size();) {
      const size_t end = std::min(name.find(',', begin), name.size());
      if (name[begin] == '-') option_names.push_back(name.substr(begin, end - begin));
      begin = end + 1;
    }
    return option;
  }
  std::string nearest(const std::string& word) const {
    const std::string name = word.substr(0, word.find('='));
    std::string best;
    int distance = int(name.size()) / 3 + 1;
    for (const std::string& option : option_names)
      if (const int d = edit_distance(name, option); d <= distance) best = option, distance = d - 1;
    return best;
  }
};

Arguments::Arguments(std::string_view command, std::string_view purpose, std::string_view example)
    : parser_(std::make_unique<Parser>()), command_(command) {
  auto& app = parser_->app;
  app.name("tokenwerk " + command_);
  app.description(std::string(purpose));
  app.footer("Example:\n  " + std::string(example));
  app.get_formatter()->column_width(36);
  parser_->add("--help", app.get_help_ptr());
  parser_->add("-q,--quiet", app.add_flag("-q,--quiet", parser_->quiet, "Only warnings and errors"));
  parser_->add("-v,--verbose", app.add_flag("-v,--verbose", parser_->verbose, "Say more"));
}

Arguments::~Arguments() = default;

void Arguments::word(const std::string& name, std::string& value, const std::string& help, bool required) {
  parser_->app.add_option(name, value, help)->required(required)->type_name("");
}
void Arguments::words(const std::string& name, std::vector<std::string>& values, const std::string& help, bool required) {
  parser_->app.add_option(name, values, help)->required(required)->type_name("");
}
void Arguments::option(const std::string& name, std::string& value, const std::string& help, bool required) {
  parser_->add(name, parser_->app.add_option(name, value, help)->required(required));
}
void Arguments::option(const std::string& name, int64_t& value, const std::string& help) {
  parser_->add(name, parser_->app.add_option(name, value, help));
}
void Arguments::option(const std::string& name, double& value, const std::string& help) {
  parser_->add(name, parser_->app.add_option(name, value, help));
}
void Arguments::options(const std::string& name, std::vector<std::string>& values, const std::string& help) {
  parser_->add(name, parser_->app.add_option(name, values, help)->expected(1)->take_all());
}
void Arguments::flag(const std::string& name, bool& value, const std::string& help) {
  parser_->add(name, parser_->app.add_flag(name, value, help));
}
void Arguments::allow_settings() {
  settings_allowed_ = true;
  parser_->app.footer(parser_->app.get_footer() +
                      "\n\n  *.toml and *.json words are files of settings; --section.key VALUE sets one\n"
                      "  (docs/configuration.md lists them all).");
}

bool Arguments::parse(const std::vector<std::string>& words) {
  std::vector<std::string> own;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (word.starts_with("--") && name.find('.') != name.npos) {
      TW_CHECK(settings_allowed_, config, "tokenwerk {} takes no settings such as {}", command_, name);
      settings_.push_back(word);
      if (equals == word.npos && i + 1 < words.size() && !words[i + 1].starts_with("--")) settings_.push_back(words[++i]);
    } else if (settings_allowed_ && !word.starts_with("-") && (i == 0 || !words[i - 1].starts_with("--")) &&
               (word.ends_with(".toml") || word.ends_with(".json"))) {
      config_files_.push_back(word);
    } else {
      own.push_back(word);
    }
  }
  std::reverse(own.begin(), own.end());  // CLI11 takes them from the back
  try {
    parser_->app.parse(own);
  } catch (const CLI::CallForHelp&) {
    std::fputs(parser_->app.help().c_str(), stdout);
    return false;
  } catch (const CLI::ExtrasError& e) {
    for (const std::string& word : parser_->app.remaining()) {
      const std::string near = word.starts_with("-") ? parser_->nearest(word) : "";
      TW_FAIL(config, "tokenwerk {}: {} is not known{}; tokenwerk {} --help lists what is", command_, word,
              near.empty() ? "" : ", did you mean " + near + "?", command_);
    }
    TW_FAIL(config, "tokenwerk {}: {}", command_, e.what());
  } catch (const CLI::ParseError& e) {
    TW_FAIL(config, "tokenwerk {}: {}; see tokenwerk {} --help", command_, e.what(), command_);
  }
  set_log_level(parser_->verbose ? LogLevel::debug : parser_->quiet ? LogLevel::quiet : LogLevel::info);
  return true;
}

}  // namespace tw
