#include "tests/fuzz/bombs.h"

#include <cstdint>
#include <string_view>

#include "tests/support/archives.h"

namespace tw::fuzz {
namespace {

constexpr size_t kMillion = 1'000'000;

std::string times(size_t n, std::string_view text) {
  std::string all;
  all.reserve(n * text.size());
  for (size_t i = 0; i < n; ++i) all += text;
  return all;
}

class List {
 public:
  void add(const std::string& target, const std::string& name, std::function<std::string()> make) {
    bombs.push_back({target, name, std::move(make)});
  }
  // Depth and numbers that no JSON file of ours has, behind `head` and before `tail`.
  void json(const std::string& target, const std::string& head = "", const std::string& tail = "",
            size_t depth = kMillion) {
    const auto around = [=](std::string middle) { return head + middle + tail; };
    add(target, "arrays", [=] { return around(times(depth, "[")); });
    add(target, "closed arrays", [=] { return around(times(depth, "[") + times(depth, "]")); });
    add(target, "objects", [=] { return around(times(depth, "{\"a\":")); });
    add(target, "closed objects", [=] { return around(times(depth, "{\"a\":") + "0" + times(depth, "}")); });
    add(target, "small values", [=] { return around("[" + times(4 * depth, "0,") + "0]"); });
    add(target, "empty objects", [=] { return around("[" + times(depth, "{},") + "{}]"); });
    add(target, "long text", [=] { return around("{\"a\":\"" + times(16 * depth, "x") + "\"}"); });
    add(target, "long number", [=] { return around("[" + times(depth, "9") + "]"); });
    add(target, "escapes", [=] { return around("[\"" + times(depth, "\\u0000") + "\"]"); });
  }
  std::vector<Bomb> bombs;
};

std::string length_before(std::string text) {  // as in safetensors
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += char(text.size() >> (8 * i) & 255);
  return bytes + text;
}

// Files of a scanned folder, by extension. Those of formats that are not read end at once.
void documents(List& list) {
  const auto add = [&](const std::string& extension, const std::string& name, std::function<std::string()> make) {
    list.add("scan", extension + ": " + name, [=] { return extension + "\n" + make(); });
  };
  for (const char* extension : {"txt", "md", "html", "csv", "tsv", "eml"})
    for (const char* text :
         {"a", "\n", "\"", ",", "<p>", "a,b\n", "=?utf-8?b?", "Content-Type: multipart/mixed; boundary=\"b\"\n\n--b\n"})
      add(extension, std::string("a million times ") + text, [=] { return times(kMillion / 4, text); });
  for (const char* line : {"[", "{\"text\":", "{}\n", "{\"text\":\"a\"}\n", "\n", "{\"text\":\"\\u0000\"}\n", "\""})
    for (const char* extension : {"jsonl", "json"})
      add(extension, std::string("a million times ") + line, [=] { return times(kMillion / 4, line); });
  add("jsonl", "a long text", [] { return "{\"text\":\"" + times(8 * kMillion, "x") + "\"}\n"; });

  for (const char* extension : {"txt.gz", "gz", "jsonl.gz", "html.gz"})
    add(extension, "64 MB of a", [] { return deflated(std::string(64 << 20, 'a'), 31); });
  add("txt.gz", "packed twice", [] { return deflated(deflated(std::string(64 << 20, 'a'), 31), 31); });
  add("txt.gz", "a thousand members", [] { return times(1000, deflated("a line\n", 31)); });
  add("txt.gz", "cut off", [] { return deflated(std::string(1 << 20, 'a'), 31).substr(0, 500); });

  struct Office {
    const char *extension, *part, *open, *close;
  };
  for (const Office& o : {Office{"docx", "word/document.xml", "<w:p><w:r><w:t>", "</w:t></w:r></w:p>"},
                          Office{"odt", "content.xml", "<text:p>", "</text:p>"}}) {
    const auto document = [=](std::string xml, uint64_t claimed = 0, const std::string& name = "") {
      return zip({{"[Content_Types].xml", "<Types/>"},
                  {"mimetype", "application/vnd.oasis.opendocument.text"},
                  {name.empty() ? std::string(o.part) : name, std::move(xml), claimed}});
    };
    add(o.extension, "nested", [=] { return document(times(kMillion / 4, o.open)); });
    add(o.extension, "nested and closed",
        [=] { return document(times(kMillion / 4, o.open) + times(kMillion / 4, o.close)); });
    add(o.extension, "64 MB of a", [=] { return document(o.open + std::string(64 << 20, 'a') + o.close); });
    add(o.extension, "claims 4 GB", [=] { return document(std::string(o.open) + "a" + o.close, 0xFFFFFFF0); });
    add(o.extension, "leads out", [=] { return document("root:x:0:0", 0, "../../../../etc/passwd"); });
    add(o.extension, "leads to the root", [=] { return document("root:x:0:0", 0, "/etc/passwd"); });
    add(o.extension, "NUL in a name", [=] { return document("<x/>", 0, std::string(o.part) + std::string("\0x", 2)); });
    add(o.extension, "entities of entities", [=] {
      std::string xml = "<!DOCTYPE x [<!ENTITY a0 \"ha\">";
      for (int i = 1; i < 40; ++i)
        xml += "<!ENTITY a" + std::to_string(i) + " \"" + times(10, "&a" + std::to_string(i - 1) + ";") + "\">";
      return document(xml + "]>" + o.open + "&a39;" + o.close);
    });
    add(o.extension, "an entity of a file", [=] {
      return document(std::string("<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>") + o.open + "&e;" +
                      o.close);
    });
    add(o.extension, "one entry, listed often", [=] {
      return zip({{o.part, o.open + std::string(1 << 20, 'a') + o.close}}, 60'000);
    });
    add(o.extension, "no directory", [=] { return document("<x/>").substr(0, 100); });
  }
  add("pdf", "nested", [] { return "%PDF-1.4\n1 0 obj\n" + times(kMillion / 4, "["); });
  add("pdf", "dictionaries", [] { return "%PDF-1.4\n1 0 obj\n" + times(kMillion / 4, "<</A "); });
}

}  // namespace

std::vector<Bomb> bombs() {
  List list;
  for (const char* target :
       {"tokenizer_json", "vocab_merges", "hf_config", "config_json", "inventory", "tokens_record"})
    list.json(target);
  list.json("tokenizer_json", "{\"model\":{\"type\":\"BPE\",\"vocab\":", "}}");
  list.json("inventory", "{\"version\":2,\"files\":", "}");
  list.json("manifest", "{\"format\": \"tokenwerk checkpoint\", \"shards\": ");
  list.json("manifest", "report\n");
  list.json("hf_config", "ours\n");
  for (const char* file : {"eval.json", "samples.json", "phases.json", "train.json", "status.json", "inventory.json",
                           "tokens/tokens.json", "metrics.jsonl", "config.toml"})
    list.json("run_record", std::string(file) + "\n", "", kMillion / 8);
  list.add("run_record", "lines", [] { return "metrics.jsonl\n" + times(kMillion, "{\"step\":1,\"loss\":2}\n"); });
  list.add("run_record", "empty lines", [] { return "metrics.jsonl\n" + times(8 * kMillion, "\n"); });
  list.add("run_record", "keys", [] { return "metrics.jsonl\n{" + times(kMillion, "\"step\"") + "}\n"; });
  list.add("run_record", "documents", [] {
    return "inventory.json\n{\"files\":[" +
           times(kMillion / 4, "{\"path\":\"a\",\"state\":\"used\",\"kind\":\"text\",\"bytes\":1},") + "{}]}";
  });
  list.add("run_record", "samples", [] {
    return "samples.json\n{\"samples\":[" + times(kMillion / 10, "{\"prompt\":\"a\",\"text\":\"<b>\"},") + "{}]}";
  });
  for (const char* data : {"[", "{", "{\"a\":{\"dtype\":", "["})
    list.add("safetensors", std::string("nested ") + data, [=] { return length_before(times(kMillion, data)); });
  list.add("safetensors", "many tensors", [] {
    std::string header = "{";
    for (int i = 0; i < 200'000; ++i)
      header += "\"" + std::to_string(i) + "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},";
    header.back() = '}';
    return length_before(header);
  });
  list.add("safetensors", "dimensions", [] {
    return length_before("{\"a\":{\"dtype\":\"F32\",\"shape\":[" + times(kMillion, "1,") +
                         "1],\"data_offsets\":[0,4]}}") +
           "1234";
  });

  for (const char* open :
       {"[", "{", "a = [", "a = {a = ", "[[", "a.", "[a.", "\"a\".", "a = \"\"\"", "'", "\"", "#", "a\n", "\\"})
    for (const char* target : {"config_toml", "config_overrides"})
      list.add(target, std::string("nested ") + open, [=] { return times(kMillion / 4, open); });
  list.add("config_overrides", "a list", [] { return "--data.train=[" + times(kMillion / 10, "\"a\",") + "]"; });
  list.add("config_overrides", "a deep list", [] { return "--data.train=" + times(kMillion, "["); });
  list.add("config_overrides", "words", [] { return times(kMillion / 10, "--training.steps=1\n"); });
  list.add("config_toml", "a list", [] { return "[data]\ntrain = [" + times(kMillion / 10, "\"a\",") + "]"; });
  list.add("config_toml", "keys", [] {
    std::string text;
    for (int i = 0; i < 50'000; ++i) text += "k" + std::to_string(i) + " = 1\n";
    return text;
  });

  for (const char* open : {"<div>",
                           "<ul><li>",
                           "<blockquote>",
                           "<pre>",
                           "<table><tr><td>",
                           "<b>",
                           "<",
                           "</",
                           "<!--",
                           "<!",
                           "<?",
                           "<![CDATA[",
                           "<a b=\"",
                           "<a b='",
                           "<a ",
                           "&",
                           "&amp",
                           "&#",
                           "&#x",
                           "<script>",
                           "<style>",
                           "<textarea>",
                           "<title>",
                           "</div>",
                           "</ul>",
                           "</b>",
                           "<script",
                           "</script",
                           "<svg>",
                           "<ol start=9>",
                           "<p>",
                           "<br>",
                           "]]>",
                           "-->",
                           "<nav>",
                           "</nav>",
                           "<h1>",
                           "<select><option>",
                           "<math>",
                           "<noscript>",
                           "<template>",
                           " ",
                           "\n"})
    list.add("html", std::string("nested ") + open, [=] { return times(kMillion, open); });
  list.add("html", "attributes", [] { return "<a " + times(kMillion, "b=c ") + ">x"; });
  list.add("html", "misnested", [] { return times(kMillion / 2, "<b><i>") + times(kMillion / 2, "</b></i>"); });
  list.add("html", "lists then ends", [] { return times(kMillion, "<ul>") + times(kMillion, "</ol>"); });

  for (const char* text : {"a", " ", "\n", "ab ", "\xC3\xA9", "\xF0\x9F\x98\x80", "12", "'s", "!"}) {
    for (int which = 0; which < 8; ++which)
      list.add("text_tokenizer", std::string("tokenizer ") + std::to_string(which) + " of " + text,
               [=] { return std::string(1, char(which)) + times(kMillion / 4, text); });
    list.add("text_parts", std::string("of ") + text, [=] { return "\x01\x01\x31" + times(kMillion / 4, text); });
    list.add("encoding", std::string("of ") + text, [=] { return times(kMillion, text); });
  }
  list.add("text_tokenizer", "bytes", [] { return "\x01" + times(kMillion / 4, "\xFF"); });
  list.add("encoding", "surrogates", [] { return "\xFF\xFE" + times(kMillion, "\x01\xD8"); });
  list.add("encoding", "halves", [] { return times(kMillion, "\xE2\x82"); });
  list.add("tiktoken", "a long line", [] { return times(4 * kMillion, "YWFh"); });
  list.add("tiktoken", "a long token", [] { return times(kMillion, "YWFh") + " 300\n"; });
  list.add("tiktoken", "empty lines", [] { return times(4 * kMillion, "\n"); });
  list.add("tiktoken", "long tokens", [] {
    std::string lines;
    for (int i = 0; i < 2000; ++i) lines += times(256 + size_t(i % 80), "YWFh") + " " + std::to_string(300 + i) + "\n";
    return lines;
  });
  list.add("vocab_merges", "merges", [] { return "{\"a\":0,\"aa\":1}\n%%%\n" + times(kMillion, "a a\n"); });
  list.add("vocab_merges", "a long line", [] { return "{\"a\":0,\"aa\":1}\n%%%\na " + times(4 * kMillion, "a"); });
  list.add("npy", "numbers", [] { return times(kMillion, "1 "); });
  list.add("npy", "a long number", [] { return times(kMillion, "1"); });
  list.add("npy", "brackets", [] { return times(kMillion, "["); });
  list.add("sentencepiece", "empty pieces", [] { return times(kMillion, std::string_view("\x0A\x00", 2)); });
  list.add("sentencepiece", "nested", [] { return "\n" + times(kMillion, "\x0A"); });
  list.add("token_file", "headers", [] { return times(kMillion / 10, "OHDR\x02\x00\x01\x10\x10"); });
  list.add("token_file", "raw", [] { return "16\n" + times(kMillion, "ab"); });
  documents(list);
  return std::move(list.bombs);
}

}  // namespace tw::fuzz
