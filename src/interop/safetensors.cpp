#include "src/interop/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "src/core/error.h"
#include "src/core/json_guard.h"
#include "src/core/sandbox.h"

namespace tw {
namespace {

constexpr size_t kHeaderLimit = 100'000'000;

size_t element_bytes(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL" || dtype == "F8_E4M3" || dtype == "F8_E5M2") return 1;
  return 0;
}

nlohmann::json parse_header(std::string_view text, const std::string& file) {
  // A tensor's entry has one comma or bracket in some 7 bytes.
  check_json_structure(text, {.depth = 4, .values = 1000 + text.size() / 4}, file);
  auto json = nlohmann::json::parse(text, nullptr, false);
  TW_CHECK(!json.is_discarded() && json.is_object(), data, "{}: the header is no valid JSON object", file);
  return json;
}

// Where the tensors' bytes begin.
size_t find_data(std::string_view bytes, const std::string& file) {
  TW_CHECK(bytes.size() >= 8, data, "{} has {} bytes: too short for a safetensors file", file, bytes.size());
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  TW_CHECK(header <= kHeaderLimit && header <= bytes.size() - 8, data, "{}: a header of {} bytes does not fit the file of {}",
           file, header, bytes.size());
  return 8 + size_t(header);
}

// Types are known, sizes fit shapes, and the tensors fill the data part one behind the other.
void check_entries(const std::vector<SafetensorsEntry>& entries, size_t data_bytes, const std::string& file) {
  size_t next = 0;
  for (const SafetensorsEntry& e : entries) {
    size_t bytes = element_bytes(e.dtype);
    TW_CHECK(bytes, data, "{}: tensor \"{}\" has the unknown type \"{}\"", file, e.name, e.dtype);
    for (int64_t d : e.shape) {
      TW_CHECK(d >= 0 && (d == 0 || bytes <= std::numeric_limits<size_t>::max() / size_t(d)), data,
               "{}: tensor \"{}\" has an impossible shape", file, e.name);
      bytes *= size_t(d);
    }
    TW_CHECK(e.begin <= e.end && e.end <= data_bytes && e.end - e.begin == bytes, data,
             "{}: tensor \"{}\" takes bytes {} to {} of {}, but its shape needs {}", file, e.name, e.begin, e.end, data_bytes, bytes);
    TW_CHECK(e.begin == next, data, "{}: tensor \"{}\" starts at byte {}, not {}: tensors overlap or leave a hole", file,
             e.name, e.begin, next);
    next = e.end;
  }
  TW_CHECK(next == data_bytes, data, "{}: {} bytes after the last tensor", file, data_bytes - next);
}

// Entries as text on the way out of the sandbox: numbers as eight bytes, texts behind their length.
std::string pack(const std::vector<SafetensorsEntry>& entries) {
  std::string out;
  const auto number = [&](uint64_t n) { out.append(reinterpret_cast<const char*>(&n), sizeof n); };
  const auto text = [&](const std::string& t) { number(t.size()), out += t; };
  for (const SafetensorsEntry& e : entries) {
    text(e.name), text(e.dtype), number(e.begin), number(e.end), number(e.shape.size());
    for (const int64_t d : e.shape) number(uint64_t(d));
  }
  return out;
}

std::vector<SafetensorsEntry> unpack(std::string_view in, const std::string& file) {
  const auto take = [&](uint64_t bytes) {
    TW_CHECK(bytes <= in.size(), data, "{}: what its reader says of the header is cut off", file);
    const std::string_view out = in.substr(0, size_t(bytes));
    in.remove_prefix(size_t(bytes));
    return out;
  };
  const auto number = [&] {
    uint64_t n = 0;
    std::memcpy(&n, take(sizeof n).data(), sizeof n);
    return n;
  };
  std::vector<SafetensorsEntry> entries;
  while (!in.empty()) {
    SafetensorsEntry e;
    e.name = take(number()), e.dtype = take(number());
    e.begin = size_t(number()), e.end = size_t(number());
    for (uint64_t left = number(); left > 0; --left) e.shape.push_back(int64_t(number()));
    entries.push_back(std::move(e));
  }
  return entries;
}

}  // namespace

int64_t SafetensorsEntry::count() const {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

std::vector<SafetensorsEntry> parse_safetensors(std::string_view bytes, const std::string& file) {
  const size_t data_begin = find_data(bytes, file), data_bytes = bytes.size() - data_begin;
  const auto json = parse_header(bytes.substr(8, data_begin - 8), file);
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") continue;
    SafetensorsEntry e;
    e.name = name;
    try {
      value.at("dtype").get_to(e.dtype);
      TW_CHECK(value.at("shape").is_array(), data, "{}: tensor \"{}\" has an impossible shape", file, name);
      for (const auto& d : value.at("shape")) {
        const auto extent = whole_number(d);
        TW_CHECK(extent, data, "{}: tensor \"{}\" has an impossible shape", file, name);
        e.shape.push_back(*extent);
      }
      const auto& offsets = value.at("data_offsets");
      TW_CHECK(offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned(),
               data, "{}: tensor \"{}\" has no valid data_offsets", file, name);
      e.begin = offsets[0].get<size_t>(), e.end = offsets[1].get<size_t>();
    } catch (const nlohmann::json::exception& problem) {
      TW_FAIL(data, "{}: the entry of tensor \"{}\" is damaged: {}", file, name, problem.what());
    }
    entries.push_back(std::move(e));
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  check_entries(entries, data_bytes, file);
  return entries;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path), map_(path) {
  const std::string file = path.string();
  data_begin_ = find_data(map_.text(), file);
  const int64_t header = int64_t(data_begin_);
  const SandboxLimits limits{.memory = (int64_t(64) << 20) + 64 * header, .cpu_seconds = 60, .result = (int64_t(1) << 20) + 8 * header};
  entries_ = unpack(run_sandboxed(file, limits, [&] { return pack(parse_safetensors(map_.text(), file)); }), file);
  check_entries(entries_, map_.size() - data_begin_, file);
}

const SafetensorsEntry* SafetensorsFile::find(const std::string& name) const noexcept {
  for (const auto& e : entries_)
    if (e.name == name) return &e;
  return nullptr;
}

void SafetensorsFile::read(const SafetensorsEntry& e, int64_t begin, int64_t n, float* out) const {
  TW_CHECK(begin >= 0 && n >= 0 && begin <= e.count() - n, bug, "elements [{}, {}) of tensor \"{}\" with {}", begin, begin + n,
           e.name, e.count());
  const unsigned char* p = map_.data() + data_begin_ + e.begin + size_t(begin) * element_bytes(e.dtype);
  const auto convert = [&]<class T>(T) {
    for (int64_t i = 0; i < n; ++i) {
      T value;  // the data part may start at any byte
      std::memcpy(&value, p + size_t(i) * sizeof(T), sizeof(T));
      out[i] = float(value);
    }
  };
  if (e.dtype == "F32") std::memcpy(out, p, size_t(n) * 4);
  else if (e.dtype == "BF16") convert(bf16{});
  else if (e.dtype == "F16") convert(fp16{});
  else if (e.dtype == "F64") convert(double{});
  else TW_FAIL(data, "{}: tensor \"{}\" holds {}; weights must be F32, F16, BF16 or F64", path_.string(), e.name, e.dtype);
}

void write_safetensors(const std::filesystem::path& path, const std::vector<SafetensorsTensor>& tensors, DType dtype) {
  TW_CHECK(dtype == DType::fp32 || dtype == DType::bf16 || dtype == DType::fp16, config,
           "weights can be written as fp32, bf16 or fp16, not {}", name_of(dtype));
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  size_t offset = 0;
  for (const auto& t : tensors) {
    int64_t n = 1;
    for (int64_t d : t.shape) n *= d;
    const size_t end = offset + size_t(n) * size_of(dtype);
    header[t.name] = {{"dtype", dtype == DType::fp32 ? "F32" : dtype == DType::bf16 ? "BF16" : "F16"},
                      {"shape", t.shape},
                      {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  AtomicFile file(path);
  const auto write = [&](const void* data, size_t bytes) { file.write({static_cast<const char*>(data), bytes}); };
  write(&length, sizeof length);
  file.write(text);
  constexpr int64_t kChunk = 1 << 20;
  std::vector<uint16_t> half(size_t(dtype == DType::fp32 ? 0 : kChunk));
  for (const auto& t : tensors) {
    int64_t n = 1;
    for (int64_t d : t.shape) n *= d;
    for (int64_t i = 0; i < n; i += kChunk) {
      const int64_t m = std::min(kChunk, n - i);
      if (dtype == DType::fp32) {
        write(t.values + i, size_t(m) * 4);
      } else {
        for (int64_t j = 0; j < m; ++j)
          half[size_t(j)] = dtype == DType::bf16 ? bf16(t.values[i + j]).bits : fp16(t.values[i + j]).bits;
        write(half.data(), size_t(m) * 2);
      }
    }
  }
  file.commit();
}

}  // namespace tw
