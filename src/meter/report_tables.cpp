// Evaluation, energy, documents, how to repeat the run, settings.
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "src/core/format.h"
#include "src/meter/report_html.h"
#include "src/meter/report_sections.h"

namespace tw::report {
namespace {

std::string joules(double value) { return std::isfinite(value) ? human_joules(value) : "–"; }
std::string seconds(double value) { return std::isfinite(value) ? human_seconds(value) : "–"; }
std::string bytes(double value) { return std::isfinite(value) ? human_bytes(value) : "–"; }
std::string number(double value) { return std::isfinite(value) ? whole(value) : "–"; }
std::string real(double value, int significant) { return std::isfinite(value) ? digits(value, significant) : "–"; }

}  // namespace

std::string evaluation(const RunRecord& run) {
  const Json& splits = part_of(run.eval, "splits");
  if (!splits.is_array() || splits.empty())
    return section("evaluation", "Held-out text", missing("No eval.json, or no split in it."));
  Table table({"Split", ">Bits/byte", ">n-gram", ">gzip -9", ">Loss", ">Perplexity", ">Text", ">Documents", ">Tokens"});
  size_t rows = 0;
  for (const Json& s : splits) {
    if (rows++ == 20) break;
    table.row({escaped(text_of(s, "name"), 40), real(real_of(s, "bits_per_byte"), 4),
               real(real_of(s, "ngram_bits_per_byte"), 4), real(real_of(s, "gzip_bits_per_byte"), 4),
               real(real_of(s, "loss"), 4), real(real_of(s, "perplexity"), 4), bytes(real_of(s, "bytes")),
               number(real_of(s, "documents")), number(real_of(s, "tokens"))});
  }
  return section(
      "evaluation", "Held-out text",
      table.html() +
          "<p class=\"note\">Bits per byte do not depend on the tokenizer. gzip -9: the documents of the split as one "
          "stream. n-gram: interpolated modified Kneser-Ney over bytes, trained on the training text, which gzip does "
          "not see.</p>\n");
}

std::string energy(const RunRecord& run) {
  const Json& phases = part_of(run.phases, "phases");
  if (!phases.is_object() || phases.empty())
    return section("energy", "Time and energy", missing("No phases.json, or no phase in it."));
  const Energy e = energy_of(run);
  Table table({"Phase", ">Time", ">Energy", ">Energy a token", ">Tokens", ">Cost", ">Starts"});
  const auto cost = [](const Json& p) {
    const double eur = real_of(p, "eur");
    return std::isfinite(eur) ? escaped(money(eur)) : std::string("–");
  };
  size_t rows = 0;
  const auto row = [&](const std::string& name, const Json& p, std::string_view css) {
    table.row(
        {name, seconds(real_of(p, "seconds")), joules(real_of(p, "joules")), joules(real_of(p, "joules_per_token")),
         real_of(p, "tokens") > 0 ? number(real_of(p, "tokens")) : "–", cost(p), number(real_of(p, "starts"))},
        css);
  };
  // In the order of the work; what is unknown to us behind it.
  const char* known[] = {"scan", "tokenize", "train", "eval", "checkpoint", "generate"};
  for (const char* name : known)
    if (phases.contains(name)) {
      row(name, phases.at(name), "");
      if (std::string_view(name) == "train" && real_of(part_of(run.phases, "wasted"), "starts") > 0)
        row("of which lost by restarts", part_of(run.phases, "wasted"), "part");
    }
  for (const auto& [name, p] : phases.items()) {
    if (std::find(std::begin(known), std::end(known), name) != std::end(known) || rows++ == 20) continue;
    row(escaped(name, 40), p, "");
  }
  const Json& total = part_of(run.phases, "total");
  table.row({"all", seconds(e.seconds), joules(e.joules), "", "", cost(total), ""}, "sum");
  if (e.pue > 1)
    table.row({fmt::format("facility, × PUE {}", plain(e.pue)), "", joules(e.facility_joules), "", "", "", ""}, "part");
  std::string note = fmt::format("<p class=\"note\">Meter: {}{}. ", escaped(e.meter, 300),
                                 e.kind == "assumed" ? " <span class=\"tag\">assumed, not measured</span>" : "");
  if (e.kind == "none") note += "Without one no joules are printed. ";
  note += "Energy a token of training counts each token once and lost steps too; cost is that of the facility.</p>\n";
  return section("energy", "Time and energy", table.html() + note);
}

std::string documents(const RunRecord& run) {
  std::string body;
  const Json& files = part_of(run.inventory, "files");
  if (files.is_array() && !files.empty()) {
    struct Sum {
      double files = 0, used = 0, bytes = 0, text = 0;
    };
    std::map<std::string, Sum> kinds;
    std::map<std::string, double> licences;  // files in use
    size_t odd = 0;
    constexpr size_t kMaxProblems = 30;
    Table problem_table({"File", "State", "Reason"});
    for (const Json& f : files) {
      std::string kind = text_of(f, "kind");
      if (kind.empty()) kind = "unknown";
      if (!kinds.contains(kind) && kinds.size() >= 30) kind = "other";
      Sum& sum = kinds[kind];
      const std::string state = text_of(f, "state");
      const double size = real_of(f, "bytes"), text = real_of(f, "text_bytes");
      ++sum.files;
      if (size > 0) sum.bytes += size;
      if (state == "used") {
        ++sum.used;
        if (text > 0) sum.text += text;
        std::string licence = text_of(f, "licence");
        if (licences.size() >= 30 && !licences.contains(licence)) licence = "others";
        ++licences[licence];
      } else if (state != "skipped" && odd++ < kMaxProblems) {
        problem_table.row(
            {"<code>" + escaped(text_of(f, "path")) + "</code>", escaped(state, 20), escaped(text_of(f, "reason"))});
      }
    }
    Table table({"Kind", ">Files", ">Used", ">Size", ">Text in use"});
    Sum all;
    for (const auto& [kind, sum] : kinds) {
      table.row({escaped(kind, 40), number(sum.files), number(sum.used), bytes(sum.bytes),
                 sum.used > 0 ? bytes(sum.text) : "–"});
      all.files += sum.files, all.used += sum.used, all.bytes += sum.bytes, all.text += sum.text;
    }
    table.row({"all", number(all.files), number(all.used), bytes(all.bytes), bytes(all.text)}, "sum");
    body += fmt::format("<p class=\"note\">Folder <code>{}</code></p>", escaped(text_of(run.inventory, "folder"), 300));
    body += table.html();
    if (odd) {
      body += fmt::format("<details><summary>{} files that are duplicates or could not be read</summary>{}", odd,
                          problem_table.html());
      if (odd > kMaxProblems) body += missing(fmt::format("{} more are in inventory.json.", odd - kMaxProblems));
      body += "</details>\n";
    }
    std::string list;
    for (const auto& [licence, n] : licences)
      list +=
          fmt::format("{}{} for {}", list.empty() ? "" : "; ", licence.empty() ? "none found" : escaped(licence, 100),
                      n == 1 ? "1 file" : whole(n) + " files");
    if (!list.empty()) body += "<p class=\"note\">Licences: " + list + ".</p>\n";
    const Json& notes = part_of(run.inventory, "notes");
    if (notes.is_array())
      for (size_t i = 0; i < notes.size() && i < 5; ++i)
        if (notes[i].is_string()) body += "<p class=\"note\">" + escaped(notes[i].get<std::string>(), 300) + "</p>";
  } else {
    body += missing("No inventory.json, or no file in it.");
  }
  const Json& splits = part_of(run.tokens, "splits");
  if (splits.is_object()) {
    Table table({"Split", ">Documents", ">Text", ">Tokens", ">Bytes a token"});
    const auto row = [&](const char* name, const Json& s) {
      const double text = real_of(s, "bytes"), tokens = real_of(s, "tokens");
      if (!std::isfinite(tokens)) return;
      table.row({name, number(real_of(s, "documents")), bytes(text), number(tokens), real(text / tokens, 3)});
    };
    for (const char* name : {"train", "val", "test"}) row(name, part_of(splits, name));
    body += "<h3>Tokens</h3>" + table.html();
  } else {
    body += missing("No tokens/tokens.json, or no splits in it.");
  }
  return section("documents", "Documents", body);
}

std::string repeat(const RunRecord& run) {
  std::string body;
  std::string command = text_of(run.train, "command");
  if (command.empty()) command = text_of(run.status, "command");
  if (!command.empty())
    body += "<p class=\"note\">It was started by</p><pre>" + escaped(command, 2000) + "</pre>\n";
  else
    body += missing("The command that started the run is not recorded.");
  const double ranks = real_of(run.train, "ranks"), virtual_ranks = real_of(run.train, "virtual_ranks");
  std::string folder = run.folder.string();
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  if (!run.config.empty()) {
    std::string again = fmt::format("tokenwerk train {} --run.dir {} --checkpoint.resume never",
                                    shell_word(folder + "/config.toml"), shell_word(folder + "-again"));
    if (ranks > 1) again = fmt::format("mpirun -np {:.0f} ", ranks) + again;
    body += "<p class=\"note\">The training again, with every setting as it was resolved</p><pre>" +
            escaped(again, 1500) + "</pre>\n";
  }
  if (text_of(run.train, "deterministic") == "elastic" && virtual_ranks > 0)
    body += fmt::format(
        "<p class=\"note\">On any number of ranks up to {0:.0f} this gives the same weights, bit for bit, on "
        "processors of "
        "the same kind (debug.deterministic = elastic, {0:.0f} virtual {1}).</p>\n",
        virtual_ranks, virtual_ranks == 1 ? "rank" : "ranks");
  Table table({"What", "Identity"});
  const auto identity = [&](std::string_view what, const std::string& value) {
    if (!value.empty()) table.row({std::string(what), "<code>" + escaped(value, 300) + "</code>"});
  };
  identity("Program", text_of(run.status, "version").empty() ? "" : "tokenwerk " + text_of(run.status, "version"));
  std::string checkpoint = text_of(run.train, "checkpoint");
  if (checkpoint.empty()) checkpoint = text_of(run.eval, "checkpoint");
  identity("Checkpoint", checkpoint);
  std::string tokenizer = text_of(run.train, "tokenizer_hash");
  if (tokenizer.empty()) tokenizer = text_of(run.tokens, "tokenizer_hash");
  identity("Tokenizer", tokenizer);
  std::string data = text_of(run.train, "data_fingerprint");
  identity("Training data", data);
  identity("Documents", text_of(run.tokens, "inventory"));
  const Json& exchange = part_of(run.train, "exchange");
  if (exchange.is_object())
    table.row({"Gradient exchange",
               fmt::format("{} a step for the order-free sum, {} for a plain one",
                           seconds(real_of(exchange, "exact_seconds")), seconds(real_of(exchange, "off_seconds")))});
  return section("repeat", "Repeating the run", table.empty() ? body : body + table.html());
}

std::string configuration(const RunRecord& run) {
  if (run.config.empty()) return section("settings", "Settings", missing("No config.toml, or no setting in it."));
  Table changed({"Setting", "Value", "From"}), all({"Setting", "Value", "From"});
  size_t rows = 0, own = 0;
  for (const Setting& s : run.config) {
    if (rows++ == 150) break;
    const std::vector<std::string> cells = {"<code>" + escaped(s.section + "." + s.key, 80) + "</code>",
                                            "<code>" + escaped(s.value) + "</code>", escaped(s.origin)};
    all.row(cells);
    if (!s.is_default()) changed.row(cells), ++own;
  }
  return section(
      "settings", "Settings",
      (own ? changed.html() : missing("All settings are at their defaults.")) +
          fmt::format("<details><summary>All {} settings</summary>{}</details>\n", run.config.size(), all.html()));
}

std::string remarks(const RunRecord& run) {
  if (run.notes.empty()) return "";
  std::string body = "<ul>";
  for (size_t i = 0; i < run.notes.size() && i < 20; ++i) body += "<li>" + escaped(run.notes[i], 400) + "</li>\n";
  return section("remarks", "What is missing here", body + "</ul>\n");
}

}  // namespace tw::report
