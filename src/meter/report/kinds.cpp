// What the model makes beside text: numbers of each kind beside those of the training files.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include <fmt/format.h>

#include "src/meter/report/facts.h"
#include "src/meter/report/sections.h"

namespace tw::report {
namespace {

namespace fs = std::filesystem;

constexpr size_t kOthers = 3, kLines = 12;  // that are shown
constexpr size_t kMostSheet = size_t(256) << 10, kMostText = size_t(16) << 10;  // bytes
constexpr size_t kKinds = 20, kMeasures = 50, kHistograms = 8, kBars = 30, kMostBins = 1000;

std::vector<double> numbers_of(const Json& list) {
  std::vector<double> numbers;
  if (!list.is_array()) return numbers;
  for (const Json& v : list) {
    if (numbers.size() > kMostBins) break;
    numbers.push_back(v.is_number() ? v.get<double>() : NAN);
  }
  return numbers;
}

std::string histogram(const Json& h) {
  const std::vector<double> edges = numbers_of(part_of(h, "edges")), samples = numbers_of(part_of(h, "samples")), training = numbers_of(part_of(h, "training"));
  if (samples.empty() || edges.size() != samples.size() + 1 || training.size() != samples.size()) return "";
  const size_t together = (samples.size() + kBars - 1) / kBars;  // bins of a bar
  struct Bar {
    double low, high, samples = 0, training = 0;
  };
  std::vector<Bar> bars;
  double most = 0;
  for (size_t i = 0; i < samples.size(); i += together) {
    Bar bar{edges[i], edges[std::min(i + together, samples.size())]};
    for (size_t k = i; k < std::min(i + together, samples.size()); ++k) bar.samples += samples[k], bar.training += training[k];
    most = std::max({most, bar.samples, bar.training});
    bars.push_back(bar);
  }
  const std::string title = text_of(h, "title"), unit = text_of(h, "unit");
  Table table(title, {unit.empty() ? "From" : "From, " + escaped(unit, 20), ">Model", ">Training files"});
  for (const Bar& bar : bars)
    table.row({bar.high - bar.low == 1 ? plain(bar.low) : plain(bar.low) + " to " + plain(bar.high), bar_cell(percent(bar.samples), most > 0 ? bar.samples / most : 0),
               bar_cell(percent(bar.training), most > 0 ? bar.training / most : 0)});
  return "<div class=\"block\"><h4>" + escaped(title, 60) + "</h4>\n" + table.html("samples.json") + "</div>\n";
}

// A file that samples.json names: of the run's samples and nothing else. "" where it is none, or larger than `most`.
std::string sample_of(const RunRecord& run, const std::string& name, size_t most, bool beginning) {
  const fs::path path = name;
  if (path.empty() || path.is_absolute() || *path.begin() != "samples" || std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; })) return "";
  std::error_code error;
  fs::path whole = run.folder;
  for (const fs::path& part : path)
    if (fs::is_symlink(fs::symlink_status(whole /= part, error))) return "";
  if (!fs::is_regular_file(whole, error) || (!beginning && fs::file_size(whole, error) > most)) return "";
  std::ifstream in(whole, std::ios::binary);
  std::string bytes(most, '\0');
  in.read(bytes.data(), std::streamsize(most));
  bytes.resize(size_t(std::max<std::streamsize>(in.gcount(), 0)));
  return bytes;
}

std::string first_lines(const std::string& text) {
  size_t at = 0;
  for (size_t line = 0; line < kLines && at < text.size(); ++line) at = std::min(text.find('\n', at), text.size() - 1) + 1;
  return text.substr(0, at);
}

// How artefacts that are seen or heard stand in the page.
struct Medium {
  std::string_view artefact, magic;
  size_t at;           // where in the file the magic is
  size_t most, bytes;  // files shown; of the largest
  const char* html;    // {0} what is said, {1} the file in base64
};
constexpr Medium kMedia[] = {
    {"png", "\x89PNG", 0, 40, size_t(32) << 10, "<img alt=\"{0}\" src=\"data:image/png;base64,{1}\">"},
    {"wav", "RIFF", 0, 4, size_t(256) << 10, "<audio controls src=\"data:audio/wav;base64,{1}\"></audio>"},
    {"mp4", "ftyp", 4, 4, size_t(256) << 10, "<video controls loop muted src=\"data:video/mp4;base64,{1}\"></video>"},
};

// The documents themselves: to look at, to listen to, to read.
std::string shown(const RunRecord& run, const Json& kind) {
  const Json& list = part_of(kind, "shown");
  if (!list.is_array()) return "";
  const auto medium = std::find_if(std::begin(kMedia), std::end(kMedia), [artefact = text_of(kind, "artefact")](const Medium& m) { return m.artefact == artefact; });
  std::string out;
  size_t count = 0;
  for (const Json& document : list) {
    const std::string name = text_of(document, "path"), caption = text_of(document, "caption");
    if (medium == std::end(kMedia)) {
      if (count == kOthers) break;
      const std::string text = sample_of(run, name, kMostText, true);
      if (!text.empty()) out += folded(fs::path(name).filename().string(), "<pre>" + escaped(first_lines(text), 4000) + "</pre>"), ++count;
      continue;
    }
    if (count == medium->most) break;
    const std::string bytes = sample_of(run, name, medium->bytes, false);
    if (bytes.size() < medium->at || !std::string_view(bytes).substr(medium->at).starts_with(medium->magic)) continue;
    const std::string said = escaped(caption.empty() ? fs::path(name).filename().string() : caption, 60);
    out += "<figure>" + fmt::format(fmt::runtime(medium->html), said, base64(bytes));
    const std::string sheet = medium->artefact == "mp4" ? sample_of(run, fs::path(name).replace_extension("png").string(), kMostSheet, false) : "";
    if (sheet.starts_with("\x89PNG")) out += fmt::format("<img class=\"sheet\" alt=\"{0}, frame by frame\" src=\"data:image/png;base64,{1}\">", said, base64(sheet));
    out += "<figcaption>" + said + "</figcaption></figure>";
    ++count;
  }
  return out.empty() || medium == std::end(kMedia) ? out : "<div class=\"shown\">" + out + "</div>\n";
}

void add_measures(const Json& measures, const std::string& first, Table& table) {
  size_t rows = 0;
  if (!measures.is_array()) return;
  for (const Json& m : measures) {
    if (rows++ == kMeasures) break;
    std::vector<std::string> cells = {escaped(text_of(m, "metric"), 80), Cells::real(real_of(m, "value"), 4), Cells::real(real_of(m, "baseline"), 4), escaped(text_of(m, "baseline_name"), 60)};
    if (!first.empty()) cells.insert(cells.begin(), first);
    table.row(cells);
  }
}

// What codecs lose, beside a plain way.
std::string codecs(const RunRecord& run) {
  Table table("Codecs", {"Kind", "Measure", ">Codec", ">Plain way", "Which"});
  size_t kinds = 0;
  if (const Json& list = part_of(run.tokens, "codecs"); list.is_array())
    for (const Json& codec : list)
      if (kinds++ < kKinds) add_measures(part_of(codec, "measures"), escaped(text_of(codec, "kind") + ", " + many(real_of(codec, "files"), "file", "files") + " of " + text_of(codec, "split"), 60), table);
  return table.empty() ? "" : "<h3>From files to tokens and back</h3>\n" + table.html("tokens/tokens.json");
}

// What tokens of each kind cost: their time on a core, and their share of the joules of tokenising by it.
std::string costs(const RunRecord& run) {
  struct Cost {
    double files = 0, documents = 0, tokens = 0, bytes = 0, seconds = 0;
  };
  std::map<std::string, Cost> all;
  const auto plus = [](double& sum, double v) { sum += std::isfinite(v) ? v : 0; };
  if (const Json& splits = part_of(run.tokens, "splits"); splits.is_object())
    for (const auto& [name, split] : splits.items()) {
      Cost text;
      plus(text.files, real_of(split, "documents")), plus(text.tokens, real_of(split, "tokens")), plus(text.bytes, real_of(split, "bytes")), plus(text.seconds, real_of(split, "text_seconds"));
      if (const Json& coded = part_of(split, "coded"); coded.is_array())
        for (const Json& c : coded) {
          if (all.size() > kKinds) break;
          Cost& of = all[text_of(c, "kind")];
          plus(of.files, real_of(c, "files")), plus(of.documents, real_of(c, "documents")), plus(of.tokens, real_of(c, "tokens"));
          plus(of.bytes, real_of(c, "bytes")), plus(of.seconds, real_of(c, "seconds"));
          plus(text.files, -real_of(c, "files")), plus(text.tokens, -real_of(c, "tokens"));
        }
      if (text.tokens <= 0) continue;
      Cost& of = all["text"];
      of.files += text.files, of.documents += text.files, of.tokens += text.tokens, of.bytes += text.bytes, of.seconds += text.seconds;
    }
  if (all.size() < 1 || (all.size() == 1 && all.contains("text"))) return "";
  double seconds = 0;
  for (const auto& [name, c] : all) seconds += c.seconds;
  const double joules = real_of(part_of(part_of(run.phases, "phases"), "tokenize"), "joules");
  Table table("Tokens of each kind", {"Kind", ">Files", ">Documents", ">Tokens", ">Bytes", ">Tokens/s, one core", ">Bytes/s, one core", ">Joules a token"});
  for (const auto& [name, c] : all)
    table.row({escaped(name, 40), whole(c.files), whole(c.documents), whole(c.tokens), Cells::bytes(c.bytes), c.seconds > 0 ? count(c.tokens / c.seconds) : "–",
               c.seconds > 0 ? Cells::bytes(c.bytes / c.seconds) : "–", Cells::joules(c.tokens > 0 && seconds > 0 ? joules * (c.seconds / seconds) / c.tokens : NAN)});
  return "<h3>What tokens of each kind cost</h3>\n" + table.html("tokens/tokens.json") +
         note("Joules of tokenising by the time of each kind, " + escaped(text_of(part_of(run.phases, "meter"), "kind") == "assumed" ? "at assumed watts" : "as measured", 40) + ".");
}

// Held-out series, gone on with.
std::string forecasts(const RunRecord& run) {
  const Json& list = part_of(run.eval, "forecasts");
  std::string out;
  size_t count = 0;
  if (!list.is_array()) return out;
  for (const Json& f : list) {
    if (count++ == kKinds) break;
    Table table("Forecasts", {"Track", ">Model", ">Last value", ">Last season", ">Within 10th to 90th percentile"});
    const auto row = [&](const Json& s, const std::string& name) {
      table.row({name, Cells::real(real_of(s, "mase"), 3), Cells::real(real_of(s, "last_value"), 3), Cells::real(real_of(s, "seasonal"), 3), Cells::share(real_of(s, "coverage"))});
    };
    row(part_of(f, "mean"), "<strong>mean</strong>");
    size_t rows = 0;
    if (const Json& tracks = part_of(f, "tracks"); tracks.is_array())
      for (const Json& t : tracks)
        if (rows++ < kMeasures) row(t, escaped(text_of(t, "track"), 60));
    out += "<h3>Forecasts of " + escaped(text_of(f, "kind"), 40) + ", " + escaped(text_of(f, "split"), 40) + "</h3>\n" +
           note(fmt::format("{} rows from {} on, the median of {}. Error over the mean difference of neighbouring rows before (MASE).", whole(real_of(f, "horizon")),
                            many(real_of(f, "windows"), "place", "places"), many(real_of(f, "samples"), "continuation", "continuations"))) +
           table.html("eval.json");
  }
  return out;
}

}  // namespace

Section kinds(const RunRecord& run) {
  const Json& list = part_of(run.samples, "kinds");
  std::string body = costs(run) + codecs(run) + forecasts(run);
  if (!list.is_array()) return {"kinds", "Beside text", body};
  size_t count = 0;
  for (const Json& kind : list) {
    if (count++ == kKinds) break;
    body += "<h3>" + escaped(text_of(kind, "kind"), 40) + "</h3>\n";
    const double unfinished = real_of(kind, "unfinished");
    body += note(fmt::format("{} of {} made by the model: {}{}", many(real_of(kind, "documents"), "document", "documents"), many(real_of(kind, "tokens"), "token", "tokens"),
                             code(text_of(kind, "path"), 200), unfinished > 0 ? fmt::format("; {} were cut at the limit", whole(unfinished)) : ""));
    body += shown(run, kind);
    Table table("Measures", {"Measure", ">Model", ">Baseline", "Of what"});
    add_measures(part_of(kind, "measures"), "", table);
    if (!table.empty()) body += table.html("samples.json");
    std::string drawn;
    size_t histograms = 0;
    if (const Json& all = part_of(kind, "histograms"); all.is_array())
      for (const Json& h : all)
        if (histograms++ < kHistograms) drawn += histogram(h);
    if (!drawn.empty()) body += "<div class=\"blocks\">" + drawn + "</div>\n";
  }
  return {"kinds", "Beside text", body};
}

}  // namespace tw::report
