// The manual pages, made from what the commands and settings say of themselves (man-pages(7), groff_man(7)).

#include "src/cli/arguments.h"
#include "src/cli/command.h"
#include "src/cli/command_info.h"
#include "src/config/schema.h"
#include "src/core/file.h"
#include "src/meter/status.h"

namespace tw {
namespace {

// Text of a roff line: backslashes and hyphens as typed, no line that begins like a request.
std::string roff(std::string_view text) {
  std::string out;
  bool begin = true;
  for (const char c : text) {
    if (begin && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') out += "\\e";
    else if (c == '-') out += "\\-";
    else out += c;
    begin = c == '\n';
  }
  return out;
}

// In lines of 78 characters, as roff sources are.
std::string lines_of(std::string_view text) {
  std::string lines;
  size_t width = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find_first_of(" \n", begin), text.size());
    const std::string word = roff(text.substr(begin, end - begin));
    if (!word.empty()) {
      const bool fits = width > 0 && width + 1 + word.size() <= 78;
      lines += (width == 0 ? "" : fits ? " " : "\n") + word;
      width = fits ? width + 1 + word.size() : word.size();
    }
    begin = end + 1;
  }
  return lines + "\n";
}

// "tokenwerk eval RUN\n  tokenwerk eval ..." as it is typed.
std::string example(std::string_view text) {
  std::string lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (line.starts_with("  ")) line.remove_prefix(2);
    lines += roff(line) + "\n";
    begin = end + 1;
  }
  return ".PP\n.nf\n.RS\n" + lines + ".RE\n.fi\n";
}

std::string command_section(const Command& command) {
  const CommandInfo info = describe(command);
  std::string text = fmt::format(".SS {}\n", roff(info.name));
  std::string synopsis = "\\fBtokenwerk " + roff(info.name) + "\\fR";
  for (const ArgumentInfo& a : info.arguments)
    if (a.word)
      synopsis += fmt::format(" {}\\fI{}\\fR{}{}", a.required ? "" : "[", roff(a.names[0]), a.repeated ? " ..." : "", a.required ? "" : "]");
  text += synopsis + " [\\fIoptions\\fR]" + (info.settings ? " [\\fIsettings.toml\\fR] [\\fB\\-\\-\\fIsection.key value\\fR]" : "") + "\n";
  text += ".PP\n" + lines_of(info.purpose);
  for (const ArgumentInfo& a : info.arguments) {
    if (a.names[0] == "-h" || a.names[0] == "-q" || a.names[0] == "-v") continue;  // of all commands, told once
    std::string names;
    for (const std::string& name : a.names) names += (names.empty() ? "" : ", ") + std::string(a.word ? "\\fI" : "\\fB") + roff(name) + "\\fR";
    text += fmt::format(".TP\n{}{}\n{}", names, !a.word && a.takes_value ? " \\fIvalue\\fR" : "", lines_of(a.help));
  }
  return text + example(info.example);
}

std::string program_page() {
  std::string text = ".TH TOKENWERK 1 \"" TW_DATE "\" \"tokenwerk " + program_version() + "\" \"User commands\"\n.SH NAME\ntokenwerk \\- an AI factory in one executable\n"
                     ".SH SYNOPSIS\n.B tokenwerk\n\\fIcommand\\fR [\\fIwords\\fR] [\\fIsettings.toml\\fR] [\\fB\\-\\-\\fIsection.key value\\fR]\n"
                     ".SH DESCRIPTION\nFiles go in, tokens are made of them, models are trained on the tokens over MPI ranks, and tokens are "
                     "turned back into text. Every step says what a token cost in joules.\n.PP\nResults go to standard output, messages "
                     "and progress to standard error.\n"
                     ".SH OPTIONS OF ALL COMMANDS\n.TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nPrint the command's help and end.\n"
                     ".TP\n\\fB\\-q\\fR, \\fB\\-\\-quiet\\fR\nOnly warnings and errors.\n.TP\n\\fB\\-v\\fR, \\fB\\-\\-verbose\\fR\nSay more.\n"
                     ".TP\n\\fB\\-\\-version\\fR\nPrint the version; without a command.\n.SH COMMANDS\n";
  for (const Command* c : commands()) text += command_section(*c);
  text += ".SH EXIT STATUS\n";
  for (const ExitCodeInfo& e : exit_codes()) text += fmt::format(".TP\n\\fB{}\\fR\n{}", int(e.code), lines_of(e.meaning));
  text += ".PP\n\\fBmpirun\\fR(1) and \\fBsrun\\fR(1) may end with another code; the run folder's \\fIstatus.json\\fR holds the right one.\n"
          ".SH ENVIRONMENT\n.TP\n\\fBNO_COLOR\\fR\nWhere it is set and not empty, nothing is coloured (https://no\\-color.org).\n"
          ".TP\n\\fBOMP_NUM_THREADS\\fR, \\fBOPENBLAS_NUM_THREADS\\fR\n1 unless you set them: threads are handed out by "
          "\\fItraining.threads\\fR.\n"
          ".SH FILES\nA run folder holds \\fIconfig.toml\\fR, \\fIinventory.json\\fR, \\fItokenizer.json\\fR, \\fItokens/\\fR, "
          "\\fIcheckpoints/\\fR, \\fImetrics.jsonl\\fR, \\fItensorboard/\\fR, \\fIeval.json\\fR, \\fIsamples.json\\fR, "
          "\\fIphases.json\\fR, \\fIstatus.json\\fR and \\fIreport.html\\fR.\n"
          ".SH EXAMPLES\n.nf\n" +
          roff("tokenwerk factory ~/documents --out runs/first\nmpirun -np 4 --bind-to none tokenwerk train configs/gpt2-124m.toml --out runs/gpt2") +
          "\n.fi\n.SH SEE ALSO\n\\fBtokenwerk\\-settings\\fR(5), \\fBtokenwerk\\-run\\fR(1), \\fBmpirun\\fR(1), \\fBsbatch\\fR(1)\n";
  return text;
}

// launch/run and launch/supervise, as they are called where they are installed.
constexpr const char* kHostfile =
    ".TP\n\\fB\\-\\-hostfile\\fR \\fIfile\\fR\nA line \\fIname slots=ranks\\fR a host, reached by ssh; they see the working folder.\n";

std::string run_page() {
  return ".TH TOKENWERK-RUN 1 \"" TW_DATE "\" \"tokenwerk " + program_version() + "\" \"User commands\"\n.SH NAME\n"
         "tokenwerk\\-run \\- tokenwerk on several ranks\n.SH SYNOPSIS\n.B tokenwerk\\-run\n[\\fB\\-n\\fR \\fIranks\\fR] "
         "[\\fB\\-\\-hostfile\\fR \\fIfile\\fR] \\fIcommand\\fR [\\fIwords\\fR]\n.SH DESCRIPTION\n" +
         lines_of("Starts tokenwerk on several ranks: under srun inside a Slurm job, else under mpirun, with no binding of ranks to cores.") +
         ".PP\n" + lines_of("It ends with tokenwerk's own exit code, also where the launcher hides it, and with 69 where a rank or a host was "
         "lost. SIGUSR1, SIGTERM and SIGINT reach all ranks, which save a checkpoint and end with 75; SIGUSR2 and a second SIGINT end them at once.") +
         ".SH OPTIONS\n" + kHostfile + ".SH ENVIRONMENT\n.TP\n\\fBTW_RANKS\\fR\n" +
         lines_of("Ranks where -n is not given; without it the tasks of the Slurm job, else 1.") + ".TP\n\\fBTW_BIN\\fR\n" +
         lines_of("The program; without it the tokenwerk beside tokenwerk-run.") + ".TP\n\\fBTW_LAUNCHER\\fR\n" +
         lines_of("srun or mpirun; without it srun in a Slurm job whose srun knows PMIx.") +
         ".SH EXAMPLES\n.nf\n" + roff("tokenwerk-run -n 4 train settings.toml --out runs/first") +
         "\n.fi\n.SH SEE ALSO\n\\fBtokenwerk\\fR(1), \\fBtokenwerk\\-supervise\\fR(1), \\fBmpirun\\fR(1), \\fBsrun\\fR(1)\n";
}

std::string supervise_page() {
  return ".TH TOKENWERK-SUPERVISE 1 \"" TW_DATE "\" \"tokenwerk " + program_version() + "\" \"User commands\"\n.SH NAME\n"
         "tokenwerk\\-supervise \\- keep a run of tokenwerk going\n.SH SYNOPSIS\n.B tokenwerk\\-supervise\n[\\fB\\-n\\fR "
         "\\fIranks\\fR] [\\fB\\-\\-hostfile\\fR \\fIfile\\fR] \\fBtrain\\fR [\\fIwords\\fR] \\fB\\-\\-out\\fR \\fIrun\\fR\n.SH DESCRIPTION\n" +
         lines_of("Starts tokenwerk-run, and after a failure again, from the newest checkpoint, on the hosts that are left: with fewer slots than "
                  "ranks, on the largest power of two that fits. The weights do not depend on that.") +
         ".PP\n" + lines_of("It ends where the run is done, was stopped (75, 77) or would fail again (64, 65, 66, 70, 73, 76, 79 at the same step "
                             "twice), and after 3 starts in a row without a new checkpoint.") +
         ".SH OPTIONS\n" + kHostfile + ".SH FILES\n" +
         lines_of("supervise.jsonl in the run folder has a line for each start and end: ranks, hosts, code, reason, steps and seconds lost.") +
         ".SH EXAMPLES\n.nf\n" + roff("tokenwerk-supervise -n 4 train settings.toml --out runs/first") +
         "\n.fi\n.SH SEE ALSO\n\\fBtokenwerk\\-run\\fR(1)\n";
}

std::string settings_page() {
  std::string text = ".TH TOKENWERK-SETTINGS 5 \"" TW_DATE "\" \"tokenwerk " + program_version() + "\" \"File formats\"\n.SH NAME\ntokenwerk-settings \\- settings of tokenwerk\n"
                     ".SH DESCRIPTION\nSettings are files of TOML, or of JSON where the name ends in \\fI.json\\fR, and words \\fB\\-\\-\\fIsection.key "
                     "value\\fR on the command line, which win. \\fIinclude = \"base.toml\"\\fR at the top of a file takes in another. A list is written "
                     "\\fI[\"a\", \"b\"]\\fR. What is unknown or out of range ends with code 64.\n";
  for (const ConfigSection& section : config_sections()) {
    text += fmt::format(".SH {}\n{}", roff(section.name), lines_of(section.help));
    for (const ConfigKey& key : config_keys()) {
      if (key.section() != section.name) continue;
      text += fmt::format(".TP\n\\fB{}\\fR ({}", roff(key.name), name_of(key.type));
      if (key.type == KeyType::choice) text += ": " + roff(key.choices);
      text += key.default_value.empty() ? ")\n" : fmt::format("; default {})\n", roff(key.default_value));
      text += lines_of(key.help);
    }
  }
  return text + ".SH SEE ALSO\n\\fBtokenwerk\\fR(1)\n";
}

ExitCode run(const std::vector<std::string>& words, Communicator& world) {
  Arguments arguments("man", "Prints a manual page in roff: tokenwerk(1); with a word tokenwerk-settings(5), tokenwerk-run(1) or tokenwerk-supervise(1).",
                      "tokenwerk man | man -l -\n  tokenwerk man settings | man -l -");
  std::string page;
  arguments.choice("PAGE", page, {"settings", "run", "supervise"}, "settings: all of them; run: several ranks; supervise: after failures", false);
  if (!arguments.parse(words)) return ExitCode::ok;
  if (world.rank() > 0) return ExitCode::ok;
  print(page.empty() ? program_page() : page == "run" ? run_page() : page == "supervise" ? supervise_page() : settings_page());
  return ExitCode::ok;
}

}  // namespace

const Command kMan = {"man", "manual pages", run};

}  // namespace tw
