// Documents of every kind but HTML: what becomes of real ones, of odd ones and of those that mean harm.
#include <gmock/gmock.h>
#include <lzma.h>
#include <zstd.h>

#include <functional>
#include <set>
#include <sstream>

#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/utf8.h"
#include "src/core/child.h"
#include "src/data/formats/format.h"
#include "src/data/formats/packed.h"
#include "tests/meter/scratch_folder.h"
#include "tests/support/archives.h"
#include "tests/support/test_data.h"

namespace tw {
namespace {
using namespace std::string_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

const fs::path kDocuments = TW_DOCUMENTS;

struct Taken final : DocumentSink {
  std::vector<std::string> documents{1}, notes;
  void text(std::string_view piece) override {
    EXPECT_TRUE(is_utf8(piece));
    documents.back() += piece;
  }
  void end_document() override { documents.emplace_back(); }
  void note(std::string text) override { notes.push_back(std::move(text)); }
};

// As scan reads a file.
Taken read(const fs::path& path) {
  const Format* format = find_format(path);
  EXPECT_TRUE(format) << path;
  DocumentFile first(path), second(path);
  const DocumentReport report = inspect_document(*format, first.content());
  TW_CHECK(report.reason.empty(), data, "{}", report.reason);
  Taken taken;
  extract(*format, report.encoding, second.content(), taken);
  return taken;
}

class Formats : public testing::Test {
 protected:
  Taken of(const std::string& name, const std::string& content) {
    folder_.write(name, content);
    return read(folder_ / name);
  }
  std::string why(const std::string& name, const std::string& content) {
    try {
      of(name, content);
      return "it was read";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::data) << e.what();
      return e.what();
    }
  }
  ScratchFolder folder_;
};

std::string gzip(const std::string& text) { return deflated(text); }
std::string zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}
std::string xz(const std::string& text, uint32_t dictionary = 1 << 20) {
  lzma_options_lzma options;
  lzma_lzma_preset(&options, 1);
  options.dict_size = dictionary;
  lzma_filter filters[] = {{LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
  std::string out(lzma_stream_buffer_bound(text.size()), '\0');
  size_t at = 0;
  EXPECT_EQ(lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const uint8_t*>(text.data()), text.size(),
                                      reinterpret_cast<uint8_t*>(out.data()), &at, out.size()),
            LZMA_OK);
  out.resize(at);
  return out;
}

TEST(FindFormat, ByNameThenEndingThroughWhatPacksIt) {
  const auto kind = [](const char* path) {
    const Format* f = find_format(path);
    return f ? std::string(f->kind) : "";
  };
  for (const auto& [path, want] : std::initializer_list<std::pair<const char*, const char*>>{
           {"a.txt", "text"}, {"a.MD", "markdown"}, {"a.htm.gz", "html"}, {"a.jsonl.zst", "jsonl"}, {"a.csv.XZ", "csv"}, {"README", "text"},
           {"README.gz", "text"}, {"notes.gz", "text"}, {"notes", "text"}, {"no_kind", ""}, {"a.tar.gz", ""}, {"a.gz.gz", ""}, {"CMakeLists.txt", "source"},
           {"Makefile", "source"}, {"a.PDF", "pdf"}, {"a.docx", "docx"}, {"a.odt", "odt"}, {"a.eml", "mail"}, {"a.mbox.gz", "mail"}, {"a.png", ""},
           {".gz", ""}, {"a.", ""}})
    EXPECT_EQ(kind(path), want) << path;
}

TEST_F(Formats, PackedFilesAreReadLikeWhatIsInside) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "line " + std::to_string(i * 7919 % 10007) + "\n";
  for (const auto& [ending, pack] : {std::pair<std::string, std::function<std::string(const std::string&)>>{"gz", gzip}, {"zst", zstd}, {"xz", [](const std::string& t) { return xz(t); }}}) {
    const std::string packed = pack(text);
    EXPECT_EQ(of("a.txt." + ending, packed).documents[0], text) << ending;
    EXPECT_EQ(of("a.txt." + ending, packed + pack("more\n")).documents[0], text + "more\n") << ending << ": members follow each other";
    EXPECT_EQ(of("a.html." + ending, pack("<p>a<p>b")).documents[0], "a\n\nb\n");
    EXPECT_THAT(why("a.txt." + ending, packed.substr(0, packed.size() - 5)), HasSubstr("cut off")) << ending;
    std::string damaged = packed;
    damaged[damaged.size() / 2] ^= 0x55;
    EXPECT_THAT(why("a.txt." + ending, damaged), HasSubstr("damaged")) << ending;
    EXPECT_THAT(why("a.txt." + ending, "plain text, long enough"), HasSubstr("damaged or no")) << ending;
    EXPECT_THAT(why("a.txt." + ending, packed + "rubbish behind it"), testing::AnyOf(HasSubstr("damaged"), HasSubstr("cut off"))) << ending;
    EXPECT_THAT(why("a.txt." + ending, pack("")), "empty") << ending;
    EXPECT_THAT(why("a.txt." + ending, ""), HasSubstr("cut off")) << ending;
    EXPECT_THAT(why("a.txt." + ending, pack(std::string(80 << 20, 'a'))), HasSubstr("bomb")) << ending;
  }
  EXPECT_EQ(of("a.txt.gz", gzip(text) + std::string(512, '\0')).documents[0], text) << "zeros fill up a block";
  EXPECT_THAT(why("a.txt.xz", xz("text", 1 << 28)), HasSubstr("smaller dictionary"));
}

TEST_F(Formats, WordDocuments) {
  EXPECT_EQ(read(kDocuments / "python-docx.docx").documents[0],
            "Pumpenhandbuch\n\nDie Pumpe läuft nur, wenn das Ventil offen ist.\n\n- Ventil öffnen\n- Motor starten\n\n"
            "Teil | Nummer | Preis\nDichtung | 4711 | 3,50 €\n\nTab\tund fett\nneue Zeile\n");
  EXPECT_THAT(why("a.docx", "text"), HasSubstr("no ZIP archive"));
  EXPECT_THAT(why("a.docx", "\xD0\xCF\x11\xE0"s + std::string(512, 'x')), HasSubstr("password"));
  EXPECT_THAT(why("a.docx", read_file(kDocuments / "odfpy.odt")), HasSubstr("word/document.xml"));
  const std::string whole = read_file(kDocuments / "python-docx.docx");
  for (size_t cut = 0; cut < whole.size(); cut += 997) EXPECT_THAT(why("a.docx", whole.substr(0, cut)), Not(HasSubstr("was read"))) << cut;
}

TEST_F(Formats, OpenDocumentTexts) {
  EXPECT_EQ(read(kDocuments / "odfpy.odt").documents[0],
            "Manual\n\nThe pump   runs well.\n\nOnly with oil.\n\n- one\n- two\n\nk | v\n1 | 2\n\nEnd.\n");
}

TEST_F(Formats, LinesOfJsonAreDocuments) {
  const Taken t = of("a.jsonl", "{\"text\": \"eins \\u00e4\"}\n\n{\"content\": \"two\\nlines\"}\r\nno json\n{\"id\": 7}\n"
                                "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"content\": [{\"type\": \"text\", \"text\": \"Hello\"}]}]}\n"
                                "{\"conversations\": [{\"from\": \"human\", \"value\": \"Q\"}, {\"from\": \"gpt\", \"value\": \"A\"}]}\n\"a text alone\"");
  EXPECT_THAT(t.documents, ElementsAre("eins ä", "two\nlines", "Hi\n\nHello", "Q\n\nA", "a text alone"));
  EXPECT_THAT(t.notes, ElementsAre(HasSubstr("1 of 8 lines are no JSON, the first is line 4"), HasSubstr("1 of 8 lines have no text")));
  EXPECT_THAT(why("a.jsonl", "{\"a\": 1}\n"), HasSubstr("1 of 1 lines have no text"));
  EXPECT_THAT(why("a.ndjson", "text\n"), HasSubstr("1 of 1 lines are no JSON"));
  const std::string deep = std::string(100000, '[') + "\n{\"text\": \"after\"}\n";
  EXPECT_THAT(of("a.jsonl", deep).documents, ElementsAre("after"));
  const Taken lone = of("a.jsonl", "{\"text\": \"half \\ud800\"}\n{\"text\": \"b\"}");
  EXPECT_THAT(lone.documents.back(), "b") << "half a surrogate is no JSON";
}

TEST_F(Formats, TablesAreRows) {
  EXPECT_EQ(of("a.csv", "name,note,n\nMüller,\"says \"\"hi\"\",\nthen goes\",3\n,,7\n\n,,\n").documents[0],
            "name | note | n\nMüller | says \"hi\", then goes | 3\n |  | 7\n");
  EXPECT_EQ(of("a.csv", "a;b\n1,5;2\n3,5;4\n").documents[0], "a | b\n1,5 | 2\n3,5 | 4\n") << "separator";
  EXPECT_EQ(of("a.tsv", "a\tb c\n1\t\"x\ty\"").documents[0], "a | b c\n1 | x\ty\n");
  EXPECT_EQ(of("a.csv", "only one column\nhere\n").documents[0], "only one column\nhere\n");
  // A stray quote does not swallow the file.
  std::string stray = "a,b\n1,\"open\n";
  for (int i = 0; i < 150000; ++i) stray += "row,value\n";
  const Taken t = of("a.csv", stray);
  EXPECT_THAT(t.documents[0], testing::StartsWith("a | b\n1 | \"open\nrow | value\nrow | value\n"));
  EXPECT_THAT(t.notes, ElementsAre(HasSubstr("1 fields begin with a quote that is not closed, the first in row 2")));
}

TEST_F(Formats, SourceIsKeptAndGeneratedCodeIsNot) {
  const std::string code = "int main() {\n\treturn 0;\n}\n";
  EXPECT_EQ(of("a.cpp", code).documents[0], code);
  EXPECT_EQ(of("Makefile", "all:\n\tcc\n").documents[0], "all:\n\tcc\n");
  std::string minified;
  for (int i = 0; i < 3000; ++i) minified += "var a=1;";
  EXPECT_THAT(why("a.js", minified), HasSubstr("minified"));
}

const std::string kMail = "Subject: =?utf-8?q?Gr=C3=B6=C3=9Fe?= der Pumpe\nFrom: =?iso-8859-1?q?J=F6rg?= <j@example.org>\nTo: b@example.org\n"
                          "Date: Wed, 25 Nov 2026 10:00:00 +0100\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=X\n\n--X\n"
                          "Content-Type: multipart/alternative; boundary=Y\n\n--Y\nContent-Type: text/plain; charset=iso-8859-1\n"
                          "Content-Transfer-Encoding: quoted-printable\n\nGr=F6=DFe: f=FCnf =\nMeter\n--Y\nContent-Type: text/html\n\n<p>other</p>\n--Y--\n"
                          "--X\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPHA+SMO8bGxlPGJyPjx1bD48bGk+YTwvdWw+\n--X\n"
                          "Content-Type: application/pdf; name=\"Plan.pdf\"\nContent-Disposition: attachment; filename=\"Plan.pdf\"\n\n%PDF\n--X--\n";

TEST_F(Formats, MailIsItsHeadItsTextAndTheNamesOfWhatIsAttached) {
  EXPECT_EQ(of("a.eml", kMail).documents[0],
            "Subject: Größe der Pumpe\nFrom: Jörg <j@example.org>\nTo: b@example.org\nDate: 2026-11-25 10:00\n\n"
            "Größe: fünf Meter\n\nHülle\n\n- a\n\nAttachment: Plan.pdf\n");
  const Taken box = of("a.mbox", "From a@b Wed Nov 25 10:00:00 2026\n" + kMail + "\nFrom a@b Wed Nov 25 10:00:00 2026\nSubject: Zwei\n\n>From here on\nFrom is no head\n");
  ASSERT_EQ(box.documents.size(), 2u);
  EXPECT_EQ(box.documents[1], "Subject: Zwei\n\nFrom here on\nFrom is no head\n");
  EXPECT_THAT(why("a.eml", "\n\n"), HasSubstr("no text"));
  std::string nested = "Subject: x\n";
  for (int i = 0; i < 100000; ++i) nested += "Content-Type: multipart/mixed; boundary=b" + std::to_string(i) + "\n\n--b" + std::to_string(i) + "\n";
  EXPECT_THAT(why("a.eml", nested), HasSubstr("parts that hold parts"));
}

TEST_F(Formats, Pdf) {
  EXPECT_THAT(why("a.pdf", "%PDF-1.4\nnothing"), HasSubstr("damaged or no PDF"));
  EXPECT_THAT(why("a.pdf", "text"), HasSubstr("damaged or no PDF: pdftotext ended with 1, Syntax"));
  EXPECT_THAT(why("a.pdf", read_file(kDocuments / "encrypted.pdf")), HasSubstr("a password is needed"));
  const auto path = test_data("pdf-html/debian-faq.de.pdf");
  if (!path) GTEST_SKIP() << "the PDF of the test data is missing";
  const std::string text = read(*path).documents[0];
  EXPECT_THAT(text, HasSubstr("Der Quellcode wird über das pool-Verzeichnis (siehe Abschnitt 6.10), zusammen mit den architekturspezifischen"));
  EXPECT_THAT(text, Not(HasSubstr(". . . .")));
  EXPECT_EQ(text, read(*path).documents[0]);
  // Every word that is not cut at the end of a line is that of pdftotext.
  std::multiset<std::string> words;
  std::istringstream reference(read_file(*test_data("pdf-html/debian-faq.de.pdf.pdftotext.txt")));
  for (std::string w; reference >> w;) words.insert(w);
  std::istringstream ours(text);
  int all = 0, known = 0;
  for (std::string w; ours >> w;) ++all, known += words.contains(w);
  EXPECT_GT(all, 20000);
  EXPECT_GT(double(known) / all, 0.98);
}

TEST(RunChild, KeepsItsLimitsAndCleansUp) {
  ScratchFolder folder;
  folder.write("in", "hello\n");
  const auto run = [&](const std::vector<std::string>& words, const ChildLimits& limits = {}) {
    std::string out;
    const ChildEnd end = run_child(words, open_to_read(folder / "in"), limits, [&](std::string_view piece) { out += piece; });
    return std::pair(end, out);
  };
  EXPECT_EQ(run({"cat"}).second, "hello\n");
  EXPECT_FALSE(run({"no-such-program-anywhere"}).first.started);
  const ChildEnd failed = run({"sh", "-c", "echo complaint >&2; exit 3"}).first;
  EXPECT_EQ(failed.code, 3);
  EXPECT_EQ(failed.complaint, "complaint\n");
  EXPECT_EQ(run({"env"}).second, "PATH=/usr/local/bin:/usr/bin:/bin\nLC_ALL=C.UTF-8\n");
  EXPECT_NE(run({"sh", "-c", "echo x > " + (folder / "out").string()}).first.code, 0) << "no files are written";
  EXPECT_NE(run({"touch", (folder / "out").string()}).first.code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  EXPECT_NE(run({"rm", (folder / "in").string()}).first.code, 0) << "none is removed";
  EXPECT_NE(run({"sh", "-c", "(true); (true)"}).first.code, 0) << "nothing is started";
  EXPECT_EQ(run({"ls", "/proc/self/fd"}).second, "0\n1\n2\n3\n") << "3 is the folder that ls reads";
  using namespace std::chrono_literals;
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW(run({"sleep", "100"}, {.wall = 1s}), Error);
  EXPECT_THROW(run({"sh", "-c", "while :; do :; done"}, {.cpu_seconds = 1}), Error);
  EXPECT_THROW(run({"yes"}, {.output = 1 << 20}), Error);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
}

}  // namespace
}  // namespace tw
