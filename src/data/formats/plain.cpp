// Plain text and source code: the text is the file.
#include <algorithm>

#include "src/core/error.h"
#include "src/data/formats/format.h"

namespace tw {
namespace {

constexpr std::string_view kTextExtensions[] = {"txt", "text", "rst", "adoc", "asciidoc", "log", "nfo", "me", "srt", "vtt"};
constexpr std::string_view kTextNames[] = {"readme",  "news",    "todo",  "changelog", "changes",   "authors", "thanks",       "credits",
                                           "install", "history", "notes", "faq",       "bugs",      "hacking", "contributing", "contributors",
                                           "copying.readme", "readme.debian", "news.debian", "changelog.debian", "maintainers"};
constexpr std::string_view kSourceExtensions[] = {
    "c",   "h",   "cc",   "cpp",  "cxx", "hh",  "hpp", "hxx", "inl",  "cu",    "cuh",  "m",    "mm",   "py",    "pyi",  "pyx",   "rb",   "pl",    "pm",
    "php", "lua", "tcl",  "r",    "jl",  "js",  "mjs", "cjs", "jsx",  "ts",    "tsx",  "vue",  "css",  "scss",  "less", "java",  "kt",   "kts",   "scala",
    "groovy", "gradle", "go", "rs", "swift", "cs", "fs", "fsx", "vb", "bas",   "pas",  "pp",   "adb",  "ads",   "d",    "nim",   "zig",  "hs",    "lhs",
    "ml",  "mli", "ex",   "exs",  "erl", "hrl", "clj", "cljs", "lisp", "lsp",  "el",   "scm",  "rkt",  "f",     "for",  "f77",   "f90",  "f95",   "f03",
    "f08", "cob", "cbl",  "asm",  "s",   "v",   "sv",  "vhd", "vhdl", "sql",   "sh",   "bash", "zsh",  "fish",  "ksh",  "ps1",   "psm1", "bat",   "cmd",
    "awk", "sed", "vim",  "cmake", "mk", "am",  "ac",  "m4",  "toml", "yaml",  "yml",  "ini",  "cfg",  "conf",  "tf",   "proto", "thrift", "graphql", "tex",
    "sty", "cls", "bib",  "ly",   "asy", "gp",  "st",  "scl", "nix",  "dockerfile", "service", "desktop", "patch", "diff"};
constexpr std::string_view kSourceNames[] = {"makefile", "gnumakefile", "dockerfile", "cmakelists.txt", "meson.build", "sconstruct", "jenkinsfile",
                                             "rakefile", "gemfile",     "vagrantfile", "build.bazel",   "workspace"};
constexpr double kLongestMeanLine = 1000;  // bytes; what is longer was written by a program for programs
constexpr int64_t kManyBytes = 5000;

void copy(TextReader& file, DocumentSink& sink) {
  std::string block;
  while (file.next(block)) sink.text(block);
}

void copy_source(TextReader& file, DocumentSink& sink) {
  std::string block;
  int64_t bytes = 0, lines = 1;
  while (file.next(block)) {
    bytes += int64_t(block.size());
    lines += std::count(block.begin(), block.end(), '\n');
    sink.text(block);
  }
  TW_CHECK(bytes < kManyBytes || double(bytes) / double(lines) <= kLongestMeanLine, data, "lines of {} bytes in the mean: minified or generated",
           bytes / lines);
}

}  // namespace

const Format kPlainText = {.kind = "text", .extensions = kTextExtensions, .from_text = copy, .names = kTextNames};
const Format kSource = {.kind = "source", .extensions = kSourceExtensions, .from_text = copy_source, .names = kSourceNames};

}  // namespace tw
