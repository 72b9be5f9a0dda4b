// Markdown (https://spec.commonmark.org): the text is the file, its marks included; links are told apart, since what they lead to may be a file of a
// codec's kind that stands in the document: ![a gear](gear.png), [the drive](drives/1.csv).
#include <algorithm>

#include "src/data/formats/format.h"

namespace tw {
namespace {

constexpr std::string_view kExtensions[] = {"md", "markdown", "mdown", "org"};
constexpr size_t kLongestLine = size_t(1) << 20;  // in which links are looked for
constexpr size_t kLongestPart = 1000;             // of a link

// A link that begins at `at` ("[" or "![").
struct Link {
  std::string_view literal, said, target;
};
bool find_link(std::string_view line, size_t at, Link& link) {
  const size_t open = line[at] == '!' ? at + 1 : at;
  if (open >= line.size() || line[open] != '[') return false;
  const size_t close = line.substr(0, std::min(line.size(), open + kLongestPart)).find_first_of("[]", open + 1);
  if (close == line.npos || line[close] != ']' || close + 1 >= line.size() || line[close + 1] != '(') return false;
  const size_t end = line.substr(0, std::min(line.size(), close + kLongestPart)).find(')', close + 2);
  if (end == line.npos) return false;
  std::string_view target = line.substr(close + 2, end - close - 2);
  if (target.starts_with('<') && target.ends_with('>') && target.size() >= 2) target = target.substr(1, target.size() - 2);
  else target = target.substr(0, target.find_first_of(" \t"));  // a title follows
  if (target.empty()) return false;
  link = {line.substr(at, end + 1 - at), line.substr(open + 1, close - open - 1), target};
  return true;
}

void give_line(std::string_view line, DocumentSink& sink) {
  size_t begin = 0;
  for (size_t at = 0; line.size() <= kLongestLine && at < line.size();) {
    at = line.find_first_of("![", at);
    if (at == line.npos) break;
    Link link;
    if (!find_link(line, at, link)) {
      ++at;
      continue;
    }
    if (at > begin) sink.text(line.substr(begin, at - begin));
    sink.embed(link.target, link.said, link.literal);
    begin = at += link.literal.size();
  }
  if (begin < line.size()) sink.text(line.substr(begin));
}

void read_markdown(TextReader& file, DocumentSink& sink) {
  std::string block, line;
  while (file.next(block))
    for (size_t begin = 0; begin < block.size();) {
      const size_t end = std::min(block.find('\n', begin), block.size() - 1) + 1;
      line.append(block, begin, end - begin);
      begin = end;
      if (line.back() != '\n' && line.size() <= kLongestLine) continue;
      give_line(line, sink);
      line.clear();
    }
  give_line(line, sink);
}

}  // namespace

const Format kMarkdown = {.kind = "markdown", .extensions = kExtensions, .from_text = read_markdown};

}  // namespace tw
