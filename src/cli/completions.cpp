// Completion scripts for bash, zsh and fish, made from what the commands themselves take.

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/command_info.h"
#include "src/config/schema.h"
#include "src/core/file.h"

namespace tw {
namespace {

std::string joined(const std::vector<std::string>& words, std::string_view between = " ") {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : std::string(between)) + word;
  return text;
}

std::vector<std::string> option_names(const CommandInfo& info) {
  std::vector<std::string> names;
  for (const ArgumentInfo& a : info.arguments)
    if (!a.word) names.insert(names.end(), a.names.begin(), a.names.end());
  return names;
}

// What the command's first word may be, where it is one of a few.
std::vector<std::string> words_of(const CommandInfo& info) {
  for (const ArgumentInfo& a : info.arguments)
    if (a.word && !a.choices.empty()) return a.choices;
  return {};
}

// The words a setting can have, "" where they are not few.
std::string choices_of(const ConfigKey& key) {
  return key.type == KeyType::choice ? std::string(key.choices) : key.type == KeyType::boolean ? "true false" : "";
}

std::string without(std::string text, std::string_view characters) {
  for (char& c : text)
    if (characters.find(c) != characters.npos) c = ' ';
  return text;
}

std::string bash() {
  std::vector<std::string> names, sections, keys;
  std::string cases, settings;
  for (const Command* c : commands()) {
    const CommandInfo info = describe(*c);
    names.push_back(info.name);
    cases += fmt::format("    {}) options=\"{}\"{}{} ;;\n", info.name, joined(option_names(info)), info.settings ? " settings=1" : "",
                         words_of(info).empty() ? "" : fmt::format(" words=\"{}\"", joined(words_of(info))));
  }
  for (const ConfigSection& s : config_sections()) sections.push_back(fmt::format("--{}.", s.name));
  for (const ConfigKey& k : config_keys()) {
    keys.push_back(fmt::format("--{}", k.name));
    if (const std::string words = choices_of(k); !words.empty())
      settings += fmt::format("    --{}) COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")); return ;;\n", k.name, words);
  }
  return fmt::format(R"(# bash completion of tokenwerk, made by "tokenwerk completions bash".
# shellcheck disable=SC2207
_tokenwerk() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} options="" settings="" words=""
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W "{} --help --version" -- "$cur"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{}  esac
  case $prev in
{}  esac
  if [[ $settings && $cur == --*.* ]]; then
    COMPREPLY=($(compgen -W "{}" -- "$cur"))
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
    if [[ $settings && ${{#COMPREPLY[@]}} -eq 0 ]]; then
      compopt -o nospace
      COMPREPLY=($(compgen -W "{}" -- "$cur"))
    fi
  elif [[ $words ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  fi  # else files, by -o default
}}
complete -o default -F _tokenwerk tokenwerk
)",
                     joined(names), cases, settings, joined(keys), joined(sections));
}

std::string zsh() {
  std::string list, cases, settings;
  for (const Command* c : commands()) {
    const CommandInfo info = describe(*c);
    list += fmt::format("    '{}:{}'\n", info.name, without(std::string(c->summary), "':"));
    cases += fmt::format("    {})\n      arguments=(\n", info.name);
    for (const ArgumentInfo& a : info.arguments) {
      const std::string help = without(a.help, "'[]:\\\n");
      if (a.word) {
        cases += fmt::format("        '{}:{}:{}'\n", a.repeated ? "*" : "", without(help, "("),
                             a.choices.empty() ? "_files" : "(" + joined(a.choices) + ")");
        continue;
      }
      for (const std::string& name : a.names)
        cases += fmt::format("        '{}{}[{}]{}'\n", a.repeated ? "*" : "", name, help,
                             !a.takes_value ? "" : fmt::format(":{}:_files", without(name, "-")));
    }
    if (info.settings) cases += "        $settings\n        '*:settings:_files'\n";
    cases += "      ) ;;\n";
  }
  for (const ConfigKey& k : config_keys()) {
    const std::string words = choices_of(k);
    settings += fmt::format("    '--{}[{}]:{}:{}'\n", k.name, without(std::string(k.help), "'[]:\\"), k.leaf(),
                            words.empty() ? "_files" : "(" + words + ")");
  }
  return fmt::format(R"(#compdef tokenwerk
# zsh completion of tokenwerk, made by "tokenwerk completions zsh".
_tokenwerk() {{
  local -a commands settings arguments
  commands=(
{}  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  settings=(
{}  )
  local command=$words[2]
  case $command in
{}    *) return 1 ;;
  esac
  shift words
  ((CURRENT--))
  _arguments -s -S $arguments
}}
_tokenwerk "$@"
)",
                     list, settings, cases);
}

std::string fish() {
  std::string text = "# fish completion of tokenwerk, made by \"tokenwerk completions fish\".\n";
  const auto quoted = [](std::string word) { return "'" + without(std::move(word), "'\\\n") + "'"; };
  std::vector<std::string> with_settings;
  for (const Command* c : commands()) {
    const CommandInfo info = describe(*c);
    text += fmt::format("complete -c tokenwerk -n __fish_use_subcommand -f -a {} -d {}\n", info.name, quoted(std::string(c->summary)));
    for (const ArgumentInfo& a : info.arguments) {
      if (a.word) {
        if (!a.choices.empty())
          text += fmt::format("complete -c tokenwerk -n '__fish_seen_subcommand_from {}' -f -a {}\n", info.name, quoted(joined(a.choices)));
        continue;
      }
      text += fmt::format("complete -c tokenwerk -n '__fish_seen_subcommand_from {}'", info.name);
      for (const std::string& name : a.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      text += fmt::format("{} -d {}\n", a.takes_value ? " -r" : "", quoted(a.help));
    }
    if (info.settings) with_settings.push_back(info.name);
  }
  for (const ConfigKey& k : config_keys()) {
    const std::string words = choices_of(k);
    text += fmt::format("complete -c tokenwerk -n '__fish_seen_subcommand_from {}' -l {}{} -d {}\n", joined(with_settings), k.name,
                        words.empty() ? " -r" : " -x -a " + quoted(words), quoted(std::string(k.help)));
  }
  return text;
}

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("completions", "Prints the completion script of a shell. The Debian package and cmake --install put them in place.",
                      "tokenwerk completions bash > ~/.local/share/bash-completion/completions/tokenwerk\n"
                      "  tokenwerk completions zsh > ~/.zfunc/_tokenwerk\n"
                      "  tokenwerk completions fish > ~/.config/fish/completions/tokenwerk.fish");
  std::string shell;
  arguments.choice("SHELL", shell, {"bash", "zsh", "fish"}, "bash, zsh or fish");
  if (!arguments.parse(words)) return ExitCode::ok;
  if (world.rank() == 0) print(shell == "bash" ? bash() : shell == "zsh" ? zsh() : fish());
  return ExitCode::ok;
}

}  // namespace

const Command kCompletions = {"completions", "completion scripts for bash, zsh and fish", run};

}  // namespace tw
