// The words of one command: its own options, and settings (--section.key value) for the configuration.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

// What a command takes: for --help, completions and the man page.
struct ArgumentInfo {
  std::vector<std::string> names;  // "-q", "--quiet"; of a word "DIR"
  std::string help;
  bool word = false, takes_value = true, required = false, repeated = false;
  std::vector<std::string> choices = {};  // all that the word may be; empty = anything
};
struct CommandInfo {
  std::string name, purpose, example;
  std::vector<ArgumentInfo> arguments;  // words first
  bool settings = false;                // takes files of settings and --section.key
};

class Arguments {
 public:
  // `example`: command lines for the end of --help.
  Arguments(std::string_view command, std::string_view purpose, std::string_view example);
  ~Arguments();
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  // Values are written by parse(); what is not given keeps what it has. Names: "--out", or "-n,--number".
  void word(const std::string& name, std::string& value, const std::string& help, bool required = true);
  void choice(const std::string& name, std::string& value, const std::vector<std::string>& choices, const std::string& help,
              bool required = true);  // a word that is one of these
  void words(const std::string& name, std::vector<std::string>& values, const std::string& help, bool required = false);
  void option(const std::string& name, std::string& value, const std::string& help, bool required = false);
  void option(const std::string& name, int64_t& value, const std::string& help);
  void option(const std::string& name, double& value, const std::string& help);
  void options(const std::string& name, std::vector<std::string>& values, const std::string& help);  // may be repeated
  void flag(const std::string& name, bool& value, const std::string& help);
  // Takes *.toml and *.json words as files of settings and --section.key as settings.
  void allow_settings();
  // And --device, short for the setting run.device.
  void allow_device();

  // False: help was asked for and printed to standard output, or a Description is being made. Error(config) names the wrong word and the nearest option.
  bool parse(const std::vector<std::string>& words);

  const std::vector<std::string>& config_files() const noexcept { return config_files_; }
  const std::vector<std::string>& settings() const noexcept { return settings_; }

  // While one lives, parse() on this thread writes what the command takes to it and returns false.
  class Description {
   public:
    explicit Description(CommandInfo& info);
    ~Description();
    Description(const Description&) = delete;
    Description& operator=(const Description&) = delete;
  };

 private:
  struct Parser;
  void note(const std::string& name, const std::string& help, bool word, bool takes_value, bool required, bool repeated);
  bool takes_value(const std::string& word) const;  // an option whose value is the next word
  std::string nearest_option(const std::string& word) const;
  std::unique_ptr<Parser> parser_;
  CommandInfo info_;
  std::vector<std::string> config_files_, settings_;
  std::string device_;
};

}  // namespace tw
