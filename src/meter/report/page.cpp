// The frame of the page: head, contents, policy. It reads without its script and without any other file.
#include <fmt/format.h>

#include "src/core/hash.h"
#include "src/meter/report/html.h"
#include "src/meter/report/page_parts.h"

namespace tw::report {
namespace {

// The bytes that hexadecimal digits name.
std::string bytes_of(const std::string& hex) {
  std::string out;
  for (size_t at = 0; at + 1 < hex.size(); at += 2) out += char(std::stoi(hex.substr(at, 2), nullptr, 16));
  return out;
}

}  // namespace

std::string page(std::string_view title, const std::string& header, const std::vector<Section>& sections,
                 const std::string& footer, const PageExtras& extras) {
  // Whatever slipped through the escaping could neither run nor load anything: the one script is named by its hash, pictures and sound are within the page.
  const std::string script = std::string(kScript) + std::string(extras.script);
  const std::string policy = fmt::format(
      "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'",
      base64(bytes_of(Sha256().update(script).hex())));
  std::string contents, body;
  for (const Section& s : sections) {
    if (s.body.empty()) continue;
    contents += fmt::format("<li><a href=\"#{}\">{}</a></li>", s.id, s.title);
    body +=
        fmt::format("<section id=\"{0}\" aria-labelledby=\"{0}-title\"><h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n",
                    s.id, s.title, s.body);
  }
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" "
      "content=\"{}\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<meta "
      "name=\"referrer\" "
      "content=\"no-referrer\">\n<title>{}</title>\n<style>",
      policy, escaped(title, 200));
  out += kStyleSheet;
  out += extras.style;
  out += "</style></head><body>\n<a class=\"skip\" href=\"#content\">To the content</a>\n<header>" + header +
         "<button type=\"button\" class=\"theme\" hidden>Theme: auto</button></header>\n";
  out += "<nav aria-label=\"Contents\"><ul>" + contents + "</ul></nav>\n<main id=\"content\">\n" + body +
         "</main>\n<footer>" + footer + "</footer>\n<script>";
  return out + script + "</script></body></html>\n";
}

}  // namespace tw::report
