// Commands that do it again, and what identifies the parts.
#include <cmath>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {
namespace {

// A long command in lines of an option each, still one command to the shell.
std::string in_lines(const std::string& command) {
  if (command.size() < 80) return command;
  std::string out;
  bool quoted = false;
  for (size_t i = 0; i < command.size(); ++i) {
    if (!quoted && command.compare(i, 3, " --") == 0) out += " \\\n   ";
    out += command[i];
    if (!quoted && command[i] == '\\' && i + 1 < command.size())
      out += command[++i];
    else if (command[i] == '\'')
      quoted = !quoted;
  }
  return out;
}

std::string commands(const RunRecord& run) {
  std::string body;
  const std::string started = command_of(run), folder = folder_of(run);
  body += started.empty() ? missing("The command that started the run is not recorded.")
                          : note("The run was started by") + command(in_lines(started));
  const double ranks = real_of(run.train, "ranks"), virtual_ranks = real_of(run.train, "virtual_ranks");
  if (!run.config.empty()) {
    std::string again = fmt::format("tokenwerk train {} --run.dir {} --checkpoint.resume never",
                                    shell_word(folder + "/config.toml"), shell_word(folder + "-again"));
    if (ranks > 1) again = fmt::format("mpirun -np {:.0f} ", ranks) + again;
    body += note("The training again, with every setting as it was resolved") + command(in_lines(again));
  }
  if (!run.config.empty() || run.train.is_object())
    body += note("Whether every byte of it is right; the numbers on held-out text; more text") +
            command(fmt::format("tokenwerk verify {0}\ntokenwerk eval {0}\ntokenwerk generate {0} --prompt 'Some text'",
                                shell_word(folder)));
  if (text_of(run.train, "deterministic") == "elastic" && virtual_ranks > 0)
    body +=
        note(fmt::format("On any number of ranks up to {0:.0f} the training gives the same weights, bit for bit, on "
                         "processors of the same kind (debug.deterministic = elastic, {0:.0f} virtual {1}).",
                         virtual_ranks, virtual_ranks == 1 ? "rank" : "ranks"));
  return body;
}

std::string identities(const RunRecord& run) {
  Table table("What identifies the parts of the run", {"What", "Identity"});
  const auto row = [&](std::string_view what, const std::string& value) {
    if (!value.empty()) table.row({std::string(what), code(value, 300)});
  };
  const auto first_of = [](const std::string& a, const std::string& b) { return a.empty() ? b : a; };
  const std::string version = text_of(run.status, "version");
  row("Program", version.empty() ? "" : "tokenwerk " + version);
  row("Checkpoint", first_of(text_of(run.train, "checkpoint"), text_of(run.eval, "checkpoint")));
  row("Tokenizer, SHA-256", first_of(text_of(run.train, "tokenizer_hash"), text_of(run.tokens, "tokenizer_hash")));
  row("Inventory, SHA-256", text_of(run.tokens, "inventory"));
  row("Training data", text_of(run.train, "data_fingerprint"));
  for (const char* split : {"train", "val", "test"})
    row(fmt::format("Tokens of {}, XXH3", split), text_of(part_of(part_of(run.tokens, "splits"), split), "checksum"));
  const Json& exchange = part_of(run.train, "exchange");
  std::string out = table.empty() ? missing("No file of the run names a hash.") : table.html();
  if (exchange.is_object())
    out += note(fmt::format("Gradient exchange: {} a step for the order-free sum, {} for a plain one.",
                            Cells::seconds(real_of(exchange, "exact_seconds")),
                            Cells::seconds(real_of(exchange, "off_seconds"))));
  return "<h3>Identities</h3>\n" + out;
}

}  // namespace

Section repeat(const RunRecord& run) { return {"repeat", "Repeating the run", commands(run) + identities(run)}; }

Section remarks(const RunRecord& run) {
  if (run.notes.empty()) return {};
  std::string body = "<ul>";
  for (size_t i = 0; i < run.notes.size() && i < 20; ++i) body += "<li>" + escaped(run.notes[i], 400) + "</li>\n";
  return {"remarks", "What is missing here", body + "</ul>\n"};
}

}  // namespace tw::report
