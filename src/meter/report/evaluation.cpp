// Held-out text: by split and domain, beside other compressors and models; what the model recites.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {
namespace {

constexpr size_t kSplits = 8, kDomains = 60, kExamples = 5;

struct Row {
  std::string name;
  const Json* part;
  double model;
  std::vector<Baseline> baselines;
};

double value_of(const Row& row, const std::string& baseline) {
  for (const Baseline& b : row.baselines)
    if (b.name == baseline) return b.bits_per_byte;
  return NAN;
}

std::string split_table(const Json& split) {
  const std::string name = escaped(text_of(split, "name"), 60);
  std::vector<Row> rows = {{"all of it", &split, real_of(split, "bits_per_byte"), baselines_of(split)}};
  const Json& domains = part_of(split, "domains");
  for (size_t i = 0; domains.is_array() && i < domains.size() && i < kDomains; ++i) {
    const std::string domain = text_of(domains[i], "name");
    rows.push_back({domain.empty() ? "without a name" : code(domain, 100), &domains[i],
                    real_of(domains[i], "bits_per_byte"), baselines_of(domains[i])});
  }
  std::vector<std::string> others;  // baselines, in the order of the file
  double widest = 1e-9;
  for (const Row& row : rows) {
    if (std::isfinite(row.model)) widest = std::max(widest, row.model);
    for (const Baseline& b : row.baselines) {
      widest = std::max(widest, b.bits_per_byte);
      if (others.size() < 8 && std::find(others.begin(), others.end(), b.name) == others.end())
        others.push_back(b.name);
    }
  }
  std::vector<std::string> headers = {"Domain", ">This model"};
  for (const std::string& other : others) headers.push_back(">" + escaped(other, 60));
  for (const char* more : {">Loss", ">Perplexity", ">Documents", ">Text"}) headers.push_back(more);
  Table table("Bits per byte of split " + name + ", by domain", headers, 20000);
  for (const Row& row : rows) {
    double least = std::isfinite(row.model) ? row.model : INFINITY;
    for (const Baseline& b : row.baselines) least = std::min(least, b.bits_per_byte);
    const auto cell = [&](double bits, const char* css) {
      if (!std::isfinite(bits)) return Cells::real(bits, 4);
      const std::string text = digits(bits, 4);
      return bar_cell(
          bits == least ? "<strong>" + text + "</strong><span class=\"aside\"> least of the row</span>" : text,
          bits / widest, css);
    };
    std::vector<std::string> cells = {row.name, cell(row.model, "me")};
    for (const std::string& other : others) cells.push_back(cell(value_of(row, other), ""));
    cells.push_back(Cells::real(real_of(*row.part, "loss"), 4));
    cells.push_back(Cells::real(real_of(*row.part, "perplexity"), 4));
    cells.push_back(Cells::number(real_of(*row.part, "documents")));
    cells.push_back(Cells::bytes(real_of(*row.part, "bytes")));
    table.row(cells, row.part == &split ? "sum" : "");
  }
  std::string out =
      fmt::format("<h3>Split {}: {}, {} tokens</h3>\n", name,
                  many(real_of(split, "documents"), "document", "documents"), Cells::number(real_of(split, "tokens")));
  out += table.html("eval.json");
  if (!domains.is_array()) out += missing("eval.json names no domains: it is from an older version.");
  if (domains.is_array() && domains.size() > kDomains)
    out += missing(fmt::format("{} more domains are in eval.json.", domains.size() - kDomains));
  if (others.empty() && !(real_of(split, "bytes") == 0)) out += missing("eval.json names no baselines: it is from an older version, or had no tokenizer.");
  return out;
}

}  // namespace

Section evaluation(const RunRecord& run) {
  const Json& splits = part_of(run.eval, "splits");
  if (!splits.is_array() || splits.empty())
    return {"evaluation", "Held-out text", missing("No eval.json, or no split in it.")};
  std::string body = note("Bits per byte; the least of a row is set in bold. They do not depend on the tokenizer.");
  for (size_t i = 0; i < splits.size() && i < kSplits; ++i) body += split_table(splits[i]);
  if (splits.size() > kSplits) body += missing(fmt::format("{} more are in eval.json.", splits.size() - kSplits));
  return {
      "evaluation", "Held-out text",
      body + note("gzip and xz: the documents as one stream each, without training text. n-gram: interpolated modified "
                  "Kneser-Ney over bytes, trained on the training text.")};
}

Section memorisation(const RunRecord& run) {
  const Json& m = part_of(run.eval, "memorisation");
  if (!m.is_object())
    return {"memorisation", "Memorisation",
            missing("Not tested: eval.json says nothing on what the model recites of its training text.")};
  const double prompt = real_of(m, "prompt_tokens"), continuation = real_of(m, "continuation_tokens");
  Table table("Passages the model goes on with word for word",
              {"Passages from", ">Tested", ">Recited", ">Share", ">Mean match"}, 40000, "half");
  double shares[2] = {NAN, NAN};
  const auto row = [&](const char* key, const char* name, double& share) {
    const Json& part = part_of(m, key);
    const double tested = real_of(part, "tested"), recited = real_of(part, "recited");
    if (!(tested > 0)) return;
    share = recited / tested;
    table.row({name, Cells::number(tested), Cells::number(recited), Cells::share(share),
               Cells::share(real_of(part, "mean_match"))});
  };
  row("training", "training text", shares[0]);
  row("held_out", "held-out text, for comparison", shares[1]);
  std::string body = note(fmt::format(
      "Given {} tokens of a passage, does the most likely continuation of {} tokens equal what stands there (Carlini "
      "et al. "
      "2023, arXiv:2202.07646)? Mean match: share of the continuation that is equal up to the first difference.",
      Cells::number(prompt), Cells::number(continuation)));
  body += table.empty() ? missing("No passage was tested: the documents are too short.") : table.html();
  if (std::isfinite(shares[0]))
    body +=
        shares[0] == 0 ? note("No tested passage of the training text is recited.")
        : std::isfinite(shares[1]) && shares[0] <= shares[1]
            ? note("Training text is recited no more often than text the model has never seen.")
            : "<p class=\"note warn\">The model recites passages of its training text: see them before you hand the "
              "weights on.</p>\n";
  const Json& examples = part_of(m, "examples");
  std::string list;
  for (size_t i = 0; examples.is_array() && i < examples.size() && i < kExamples; ++i) {
    const Json& e = examples[i];
    list += fmt::format(
        "<article class=\"sample\"><p class=\"text\" dir=\"auto\"><span class=\"prompt\">{}</span><mark>{}</mark>"
        "</p><p class=\"foot\">From {}</p></article>\n",
        escaped(text_of(e, "prompt"), 1000), escaped(text_of(e, "text"), 1000), code(text_of(e, "path"), 300));
  }
  if (!list.empty()) body += folded("Recited passages", "<div class=\"samples\">" + list + "</div>\n");
  return {"memorisation", "Memorisation", body};
}

}  // namespace tw::report
