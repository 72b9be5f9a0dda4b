#include "src/cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "src/config/schema.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/log.h"

namespace tw {

namespace {
thread_local CommandInfo* description = nullptr;
}  // namespace

struct Arguments::Parser {
  CLI::App app;
  bool quiet = false, verbose = false;
};

Arguments::Description::Description(CommandInfo& info) { description = &info; }
Arguments::Description::~Description() { description = nullptr; }

Arguments::Arguments(std::string_view command, std::string_view purpose, std::string_view example)
    : parser_(std::make_unique<Parser>()) {
  info_.name = command, info_.purpose = purpose, info_.example = example;
  auto& app = parser_->app;
  app.name("tokenwerk " + info_.name);
  app.description(info_.purpose);
  app.get_formatter()->column_width(36);
  app.set_help_flag("-h,--help", "Print this help and end");
  note("-h,--help", "Print this help and end", false, false, false, false);
  flag("-q,--quiet", parser_->quiet, "Only warnings and errors");
  flag("-v,--verbose", parser_->verbose, "Say more");
}

Arguments::~Arguments() = default;

void Arguments::note(const std::string& name, const std::string& help, bool word, bool takes_value, bool required, bool repeated) {
  ArgumentInfo argument{{}, help, word, takes_value, required, repeated};
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find(',', begin), name.size());
    argument.names.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  info_.arguments.push_back(std::move(argument));
}

void Arguments::word(const std::string& name, std::string& value, const std::string& help, bool required) {
  note(name, help, true, true, required, false);
  parser_->app.add_option(name, value, help)->required(required)->type_name("");
}
void Arguments::choice(const std::string& name, std::string& value, const std::vector<std::string>& choices, const std::string& help,
                       bool required) {
  note(name, help, true, true, required, false);
  info_.arguments.back().choices = choices;
  parser_->app.add_option(name, value, help)->required(required)->type_name("")->check(CLI::IsMember(choices));
}
void Arguments::words(const std::string& name, std::vector<std::string>& values, const std::string& help, bool required) {
  note(name, help, true, true, required, true);
  parser_->app.add_option(name, values, help)->required(required)->type_name("");
}
void Arguments::option(const std::string& name, std::string& value, const std::string& help, bool required) {
  note(name, help, false, true, required, false);
  parser_->app.add_option(name, value, help)->required(required);
}
void Arguments::option(const std::string& name, int64_t& value, const std::string& help) {
  note(name, help, false, true, false, false);
  parser_->app.add_option(name, value, help);
}
void Arguments::option(const std::string& name, double& value, const std::string& help) {
  note(name, help, false, true, false, false);
  parser_->app.add_option(name, value, help);
}
void Arguments::options(const std::string& name, std::vector<std::string>& values, const std::string& help) {
  note(name, help, false, true, false, true);
  parser_->app.add_option(name, values, help)->expected(1)->take_all();
}
void Arguments::flag(const std::string& name, bool& value, const std::string& help) {
  note(name, help, false, false, false, false);
  parser_->app.add_flag(name, value, help);
}
void Arguments::allow_settings() { info_.settings = true; }
void Arguments::allow_device() {
  option("--device", device_, "auto, cpu, cuda or cuda-shared (the setting run.device): where the model is computed");
}

bool Arguments::takes_value(const std::string& word) const {
  for (const ArgumentInfo& argument : info_.arguments)
    if (!argument.word && argument.takes_value &&
        std::find(argument.names.begin(), argument.names.end(), word) != argument.names.end())
      return true;
  return false;
}

std::string Arguments::nearest_option(const std::string& word) const {
  const std::string name = word.substr(0, word.find('='));
  std::string best;
  int distance = int(name.size()) / 3 + 1;
  for (const ArgumentInfo& argument : info_.arguments)
    for (const std::string& option : argument.names)
      if (const int d = edit_distance(name, option); !argument.word && d <= distance) best = option, distance = d - 1;
  return best;
}

bool Arguments::parse(const std::vector<std::string>& words) {
  if (description) {
    *description = std::move(info_);
    return false;
  }
  const std::string& command = info_.name;
  parser_->app.footer("Example:\n  " + info_.example +
                      (info_.settings ? "\n\n  *.toml and *.json words are files of settings; --section.key VALUE sets one\n"
                                        "  (docs/configuration.md and tokenwerk man settings list them all)."
                                      : ""));
  std::vector<std::string> own;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (word.starts_with("--") && name.find('.') != name.npos) {
      TW_CHECK(info_.settings, config, "tokenwerk {} takes no settings such as {}", command, name);
      settings_.push_back(word);
      if (equals == word.npos && i + 1 < words.size() && !words[i + 1].starts_with("--")) settings_.push_back(words[++i]);
    } else if (info_.settings && !word.starts_with("-") && (i == 0 || !takes_value(words[i - 1])) &&
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
    print(parser_->app.help());
    return false;
  } catch (const CLI::ExtrasError& e) {
    for (const std::string& word : parser_->app.remaining()) {
      const std::string near = word.starts_with("-") ? nearest_option(word) : "";
      TW_FAIL(config, "tokenwerk {}: {} is not known{}; tokenwerk {} --help lists what is", command, word,
              near.empty() ? "" : ", did you mean " + near + "?", command);
    }
    TW_FAIL(config, "tokenwerk {}: {}", command, e.what());
  } catch (const CLI::ParseError& e) {
    TW_FAIL(config, "tokenwerk {}: {}; see tokenwerk {} --help", command, e.what(), command);
  }
  if (!device_.empty()) settings_.push_back("--run.device=" + device_);
  set_log_level(parser_->verbose ? LogLevel::debug : parser_->quiet ? LogLevel::quiet : LogLevel::info);
  return true;
}

}  // namespace tw
