// An inventory as JSON, as a table, and as a fingerprint.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "src/codec/text/json_fields.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/hash.h"
#include "src/core/utf8.h"
#include "src/data/scan.h"

namespace tw {
namespace {

constexpr int kVersion = 2;
constexpr size_t kMaxInventory = size_t(2) << 30;  // bytes of the file: six million files
constexpr std::array<const char*, 6> kStates = {"used", "duplicate", "near_duplicate", "filtered", "skipped", "broken"};
constexpr size_t kKinds = 20;  // in the table
constexpr size_t kLongestKind = 9, kMostKinds = 10000;

bool stays_inside(const std::string& path) {
  const std::filesystem::path p = path;
  if (path.empty() || p.is_absolute() || path.find('\0') != path.npos) return false;
  return std::none_of(p.begin(), p.end(), [](const auto& part) { return part == ".."; });
}

double share_of(const JsonNode& node) {
  TW_CHECK(node.raw().is_number(), data, "{} is not a number", node.where());
  const double v = node.raw().get<double>();
  TW_CHECK(v >= 0 && v <= 1, data, "{} = {} is not in [0, 1]", node.where(), v);
  return v;
}

template <class Names>
size_t index_of(const JsonNode& node, const Names& names) {
  const auto found = std::find(names.begin(), names.end(), node.text());
  TW_CHECK(found != names.end(), data, "{} = \"{}\" is not known", node.where(), node.text());
  return size_t(found - names.begin());
}

ScannedFile file_of(const JsonNode& node) {
  constexpr int64_t kMost = int64_t(1) << 62;
  const std::array<std::string, 3> splits = {"train", "val", "test"};
  const std::vector<std::string> states(kStates.begin(), kStates.end());
  ScannedFile f;
  f.path = node["path"].text();
  TW_CHECK(stays_inside(f.path), data, "{} = \"{}\" leads out of the folder", node["path"].where(), f.path);
  f.state = FileState(index_of(node["state"], states));
  f.reason = node["reason"].text();
  f.kind = node["kind"].text();
  f.bytes = node["bytes"].whole(kMost);
  TW_CHECK(node["mtime_ns"].raw().is_number_integer(), data, "{} is not a whole number", node["mtime_ns"].where());
  f.mtime_ns = node["mtime_ns"].raw().get<int64_t>();
  f.sha256 = node["sha256"].text();
  const bool digits = f.sha256.find_first_not_of("0123456789abcdef") == f.sha256.npos;
  TW_CHECK(f.sha256.empty() || (f.sha256.size() == 64 && digits), data, "{} is no SHA-256", node["sha256"].where());
  f.encoding = node["encoding"].text();
  f.text_bytes = node["text_bytes"].whole(kMost);
  if (node.has("turns")) f.turns = node["turns"].whole(kMost);
  f.content = node.text_or("content", "");
  f.caption = node.text_or("caption", "");
  f.part_of = node.text_or("part_of", "");
  f.quality = node.text_or("quality", "");
  f.licence = node["licence"].text();
  f.source = node["source"].text();
  f.language = node["language"].text();
  f.duplicate_of = node["duplicate_of"].text();
  f.note = node["note"].text();
  for (const PersonalKind kind : kPersonalKinds)
    if (const JsonNode found = node["findings"]; found.has(name_of(kind))) f.findings[size_t(kind)] = found[name_of(kind)].whole(kMost);
  f.split = Split(index_of(node["split"], splits));
  f.dealt_inside = node.flag_or("dealt_inside", false);
  TW_CHECK(f.state != FileState::used || !f.sha256.empty(), data, "{}: a used file without its SHA-256", node.where());
  return f;
}

// What comes from files' names and contents does not command the terminal.
std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  return text;
}

}  // namespace

const char* name_of(Split split) noexcept {
  switch (split) {
    case Split::train: return "train";
    case Split::val: return "val";
    case Split::test: return "test";
  }
  return "?";
}

Inventory::Sum Inventory::sum(FileState state) const {
  Sum s;
  for (const ScannedFile& f : files)
    if (f.state == state) ++s.files, s.bytes += f.bytes, s.text_bytes += f.text_bytes;
  return s;
}

Inventory::Sum Inventory::sum(Split split) const {
  Sum s;
  for (const ScannedFile& f : files)
    if (f.state == FileState::used && f.split == split) ++s.files, s.bytes += f.bytes, s.text_bytes += f.text_bytes;
  return s;
}

std::string Inventory::fingerprint() const {
  Sha256 sum;
  for (const ScannedFile& f : files)
    if (f.state == FileState::used)
      for (const std::string_view part : {std::string_view(f.path), std::string_view(f.sha256), std::string_view(f.kind),
                                          std::string_view(f.encoding), std::string_view(f.licence),
                                          std::string_view(name_of(f.split))})
        sum.update(part).update("\0", 1);  // a path holds anything but NUL
  for (const ScannedFile& f : files)
    if (f.state == FileState::used && !f.caption.empty()) sum.update(f.path).update("\0", 1).update(f.caption).update("\0", 1);
  for (const ScannedFile& f : files)
    if (f.state == FileState::used && !f.part_of.empty()) sum.update(f.path).update("\0", 1).update(f.part_of).update("\0", 1);
  for (const ScannedFile& f : files)
    if (f.state == FileState::used && f.dealt_inside) sum.update(fmt::format("{} {} {} {}\n", f.path, shares.train, shares.val, shares.test));
  for (const ScannedFile& f : files)
    if (f.state == FileState::skipped && !f.sha256.empty()) sum.update(f.path).update("\0", 1).update(f.sha256).update("\0", 1);  // read with others
  return sum.hex();
}

std::string Inventory::table(size_t shown) const {
  struct Row {
    int64_t files = 0, bytes = 0, used = 0, text = 0;
  };
  std::map<std::string, Row> kinds, languages, licences;
  std::map<std::string, int64_t> encodings;
  std::array<int64_t, 5> found{}, found_in{};
  for (const ScannedFile& f : files) {
    // What is longer is the rest of a name rather than an ending.
    const bool listed = !f.kind.empty() && f.kind.size() <= kLongestKind && (f.state == FileState::used || kinds.contains(f.kind) || kinds.size() < kMostKinds);
    Row& r = kinds[listed ? f.kind : "other"];
    ++r.files, r.bytes += f.bytes;
    if (f.state != FileState::used) continue;
    ++r.used, r.text += f.text_bytes;
    if (!f.encoding.empty()) ++encodings[f.encoding];
    // "debian/copyright: GPL-2+" and "LICENSE: MIT License" of other folders are one licence each.
    const size_t colon = f.licence.find(": ");
    for (Row* row : {&languages[f.language.empty() ? "unknown" : f.language],
                     &licences[f.licence.empty() ? "none named" : colon == f.licence.npos ? f.licence : f.licence.substr(colon + 2)]})
      ++row->files, row->bytes += f.bytes, ++row->used, row->text += f.text_bytes;
    for (size_t k = 0; k < found.size(); ++k) found[k] += f.findings[k], found_in[k] += f.findings[k] > 0;
  }
  const auto line = [](std::string_view name, const Row& r) {
    std::string shown_name = printable(std::string(name));
    if (shown_name.size() > 24) shown_name = repaired_utf8(shown_name.substr(0, 21)) + "...";
    return fmt::format("{:<24} {:>8} {:>12} {:>8} {:>12}\n", shown_name, r.files, human_bytes(double(r.bytes)), r.used,
                       r.used ? human_bytes(double(r.text)) : "-");
  };
  std::string out = fmt::format("{:<24} {:>8} {:>12} {:>8} {:>12}\n", "kind", "files", "size", "used", "text");
  // The largest first; the rest in one line.
  const auto rows = [&](const std::map<std::string, Row>& all, size_t most) {
    std::vector<std::pair<std::string, Row>> sorted(all.begin(), all.end());
    std::stable_sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
      return std::pair(-a.second.text, -a.second.bytes) < std::pair(-b.second.text, -b.second.bytes);
    });
    Row rest;
    for (size_t i = 0; i < sorted.size(); ++i) {
      const Row& r = sorted[i].second;
      if (i < most || sorted.size() == most + 1) out += line(sorted[i].first, r);
      else rest.files += r.files, rest.bytes += r.bytes, rest.used += r.used, rest.text += r.text;
    }
    if (rest.files > 0) out += line(fmt::format("{} others", sorted.size() - most), rest);
  };
  rows(kinds, kKinds);
  out += "language\n";
  rows(languages, shown);
  if (licences.size() > 1 || !licences.contains("none named")) out += "licence\n", rows(licences, shown);
  out += "split\n";
  for (const Split split : kSplits) {
    const Sum s = sum(split);
    out += line(name_of(split), {s.files, s.bytes, s.files, s.text_bytes});
  }
  for (const auto& [encoding, count] : encodings)
    if (encoding != "UTF-8") out += fmt::format("{} {} in {}\n", count, count == 1 ? "file" : "files", encoding);
  const auto rest_of = [&](size_t all) {
    if (all > shown) out += fmt::format("  and {} more; --all lists them, inventory.json holds them\n", all - shown);
  };
  std::string personal;
  for (const PersonalKind kind : kPersonalKinds)
    if (const size_t k = size_t(kind); found[k] > 0) personal += fmt::format("{}{} {} in {} files", personal.empty() ? "" : ", ", name_of(kind), found[k], found_in[k]);
  if (!personal.empty()) {
    out += "secrets and personal data: " + personal + " (data.mask puts them out of sight)\n";
    std::vector<const ScannedFile*> worst;  // keys first, then whoever has most
    for (const ScannedFile& f : files)
      if (f.state == FileState::used && std::any_of(f.findings.begin(), f.findings.end(), [](int64_t n) { return n > 0; })) worst.push_back(&f);
    std::stable_sort(worst.begin(), worst.end(), [](const ScannedFile* a, const ScannedFile* b) {
      const auto rank = [](const ScannedFile& f) {
        return std::pair(f.findings[size_t(PersonalKind::key)], std::accumulate(f.findings.begin(), f.findings.end(), int64_t(0)));
      };
      return rank(*a) > rank(*b);
    });
    for (size_t i = 0; i < std::min(shown, worst.size()); ++i) {
      std::string counts;
      for (const PersonalKind kind : kPersonalKinds)
        if (const int64_t n = worst[i]->findings[size_t(kind)]) counts += fmt::format("{}{} {}", counts.empty() ? "" : ", ", name_of(kind), n);
      out += fmt::format("  {}: {}\n", printable(worst[i]->path), counts);
    }
    rest_of(worst.size());
  }
  for (const std::string& note : notes) out += "note: " + printable(note) + "\n";
  const auto list = [&](FileState state, const char* title) {
    const Sum all = sum(state);
    if (all.files == 0) return;
    out += fmt::format("{}: {} files, {}\n", title, all.files, human_bytes(double(all.bytes)));
    size_t listed = 0;
    for (const ScannedFile& f : files) {
      if (f.state != state) continue;
      if (listed++ == shown) break;
      out += fmt::format("  {}: {}\n", printable(f.path), printable(f.reason));
    }
    rest_of(size_t(all.files));
  };
  list(FileState::broken, "broken");
  list(FileState::duplicate, "duplicates, dropped");
  list(FileState::near_duplicate, "near duplicates, dropped");
  list(FileState::filtered, "left out by data.languages or data.quality");
  size_t noted = 0;
  for (const ScannedFile& f : files)
    if (f.state == FileState::used && !f.note.empty() && noted++ < shown) out += fmt::format("note: {}: {}\n", printable(f.path), printable(f.note));
  if (noted > shown) out += fmt::format("note: {} more files have notes, in inventory.json\n", noted - shown);
  if (const int64_t skipped = sum(FileState::skipped).files)
    out += fmt::format("{} files of kinds that are not read, licence texts and links were passed over\n", skipped);
  out.pop_back();
  return out;
}

void write_inventory(const Inventory& inventory, const std::filesystem::path& path) {
  using nlohmann::ordered_json;
  // What is not UTF-8 (a licence's first line, say) gets U+FFFD.
  const auto text = [](const ordered_json& json) { return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace); };
  const SplitShares& s = inventory.shares;
  const ordered_json shares = {{"train", s.train}, {"val", s.val}, {"test", s.test}};
  AtomicFile out(path);
  out.write(fmt::format(
      "{{\n\"version\": {},\n\"folder\": {},\n\"shares\": {},\n\"near_duplicates\": {},\n\"scanned_at\": {},\n\"notes\": {},\n\"files\": [", kVersion,
      text(inventory.folder.string()), text(shares), text(inventory.near_duplicates), text(inventory.scanned_at), text(inventory.notes)));
  for (const ScannedFile& f : inventory.files) {
    ordered_json findings = ordered_json::object();
    for (const PersonalKind kind : kPersonalKinds)
      if (const int64_t count = f.findings[size_t(kind)]) findings[name_of(kind)] = count;
    out.write(&f == inventory.files.data() ? "\n" : ",\n");
    out.write(text({{"path", f.path},
                   {"state", kStates[size_t(f.state)]},
                   {"reason", f.reason},
                   {"kind", f.kind},
                   {"bytes", f.bytes},
                   {"mtime_ns", f.mtime_ns},
                   {"sha256", f.sha256},
                   {"encoding", f.encoding},
                   {"text_bytes", f.text_bytes},
                   {"turns", f.turns},
                   {"content", f.content},
                   {"caption", f.caption},
                   {"part_of", f.part_of},
                   {"quality", f.quality},
                   {"licence", f.licence},
                   {"source", f.source},
                   {"language", f.language},
                   {"duplicate_of", f.duplicate_of},
                   {"note", f.note},
                   {"findings", findings},
                   {"split", name_of(f.split)},
                   {"dealt_inside", f.dealt_inside}}));
  }
  out.write("\n]\n}\n");
  out.commit();
}

Inventory read_inventory(const std::filesystem::path& path) {
  const std::string text = read_file(path, kMaxInventory), file = path.string();
  check_json_structure(text, {.depth = 8, .values = text.size() / 8 + 64}, file);
  Inventory inventory;
  std::string key;  // of the outermost object
  // Entries of files become ours as soon as they are read: the parsed JSON never holds more than one of them.
  const auto take = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    if (event == nlohmann::json::parse_event_t::key && depth == 1) key = value.get<std::string>();
    if (event != nlohmann::json::parse_event_t::object_end || depth != 2 || key != "files") return true;
    inventory.files.push_back(file_of({value, fmt::format("{}: files[{}]", file, inventory.files.size())}));
    return false;
  };
  nlohmann::json json;
  try {
    json = nlohmann::json::parse(text, take);
  } catch (const nlohmann::json::exception& e) {
    TW_FAIL(data, "{} is not JSON: {}", file, e.what());
  }
  const JsonNode root(json, file);
  TW_CHECK(root["version"].whole(1 << 20) == kVersion, data, "{}: version {} is not known, this program reads {}: scan the folder again", file,
           root["version"].raw().dump(), kVersion);
  inventory.folder = root["folder"].text();
  SplitShares& s = inventory.shares;
  s = {share_of(root["shares"]["train"]), share_of(root["shares"]["val"]), share_of(root["shares"]["test"])};
  TW_CHECK(std::fabs(s.train + s.val + s.test - 1) < 1e-6, data, "{}: the sum of the shares is not 1", root["shares"].where());
  inventory.near_duplicates = share_of(root["near_duplicates"]);
  TW_CHECK(root["scanned_at"].raw().is_number(), data, "{} is not a number", root["scanned_at"].where());
  inventory.scanned_at = root["scanned_at"].raw().get<double>();
  for (size_t i = 0; i < root["notes"].size(); ++i) inventory.notes.push_back(root["notes"].at(i).text());
  TW_CHECK(root["files"].size() == 0, data, "{}: entry {} is not an object", root["files"].where(), inventory.files.size());
  return inventory;
}

}  // namespace tw
