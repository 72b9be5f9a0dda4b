#include "src/interop/npy.h"

#include <charconv>
#include <cstring>
#include <limits>

#include "src/core/file.h"

namespace tw {
namespace {

constexpr std::string_view kMagic{"\x93NUMPY", 6};

int32_t checked_id(int64_t value, const std::string& origin) {
  TW_CHECK(value >= 0 && value <= std::numeric_limits<int32_t>::max(), data, "{}: {} is no token id", origin, value);
  return int32_t(value);
}

// The text between `key`: and the next , or } of a header's Python dictionary.
std::string header_value(const std::string& header, const std::string& key, const std::string& origin) {
  const size_t at = header.find("'" + key + "'");
  TW_CHECK(at != std::string::npos, data, "{}: the .npy header has no '{}'", origin, key);
  const size_t colon = header.find(':', at);
  TW_CHECK(colon != std::string::npos, data, "{}: the .npy header is damaged at '{}'", origin, key);
  const size_t open = header.find_first_not_of(' ', colon + 1);
  TW_CHECK(open != std::string::npos, data, "{}: the .npy header is damaged at '{}'", origin, key);
  const size_t end = header[open] == '(' ? header.find(')', open) : header.find_first_of(",}", open);
  TW_CHECK(end != std::string::npos, data, "{}: the .npy header is damaged at '{}'", origin, key);
  return header.substr(open, end - open + (header[open] == '(' ? 1 : 0));
}

std::vector<std::vector<int32_t>> read_npy_ids(const std::string& bytes, const std::string& origin) {
  TW_CHECK(bytes.size() >= 10 && bytes[6] == 1, data, "{}: only .npy version 1.0 is read", origin);
  const size_t header_size = size_t(static_cast<unsigned char>(bytes[8])) | size_t(static_cast<unsigned char>(bytes[9])) << 8;
  TW_CHECK(bytes.size() >= 10 + header_size, data, "{}: the .npy header is cut off", origin);
  const std::string header = bytes.substr(10, header_size);
  const std::string descr = header_value(header, "descr", origin), shape = header_value(header, "shape", origin);
  TW_CHECK(header_value(header, "fortran_order", origin) == "False", data, "{}: only C order is read", origin);
  TW_CHECK(descr.size() == 5 && (descr[2] == 'i' || descr[2] == 'u') && (descr[1] == '<' || descr[1] == '|'), data,
           "{}: ids must be little-endian integers, not {}", origin, descr);
  const int width = descr[3] - '0';
  TW_CHECK(width == 1 || width == 2 || width == 4 || width == 8, data, "{}: unknown integer type {}", origin, descr);
  std::vector<int64_t> dims;
  for (size_t i = 1; i < shape.size();) {
    if (shape[i] < '0' || shape[i] > '9') {
      ++i;
      continue;
    }
    int64_t d = 0;
    const auto [end, problem] = std::from_chars(shape.data() + i, shape.data() + shape.size(), d);
    TW_CHECK(problem == std::errc{} && d <= int64_t(bytes.size()), data, "{}: impossible shape {}", origin, shape);
    dims.push_back(d);
    i = size_t(end - shape.data());
  }
  TW_CHECK(dims.size() == 1 || dims.size() == 2, data, "{}: ids must have one or two dimensions, not {}", origin, shape);
  const int64_t rows = dims.size() == 2 ? dims[0] : 1, columns = dims.back();
  TW_CHECK(columns == 0 || rows <= int64_t(bytes.size()) / columns, data, "{}: impossible shape {}", origin, shape);
  TW_CHECK(bytes.size() - 10 - header_size == size_t(rows * columns * width), data, "{}: the data is cut off or too long", origin);
  std::vector<std::vector<int32_t>> ids;
  const char* p = bytes.data() + 10 + header_size;
  for (int64_t r = 0; r < rows; ++r) {
    auto& row = ids.emplace_back();
    for (int64_t c = 0; c < columns; ++c, p += width) {
      uint64_t raw = 0;
      std::memcpy(&raw, p, size_t(width));
      const int shift = 64 - 8 * width;
      row.push_back(checked_id(descr[2] == 'i' ? int64_t(raw << shift) >> shift : int64_t(raw), origin));
    }
  }
  return ids;
}

}  // namespace

void write_npy(const std::filesystem::path& path, ConstView array) {
  const char* descr = array.dtype == DType::fp32   ? "<f4"
                      : array.dtype == DType::fp64 ? "<f8"
                      : array.dtype == DType::i32  ? "<i4"
                      : array.dtype == DType::i64  ? "<i8"
                                                   : nullptr;
  TW_CHECK(descr, bug, "no .npy type for {}", name_of(array.dtype));
  std::string shape;
  for (int i = 0; i < array.rank(); ++i) shape += std::to_string(array.dim(i)) + (array.rank() == 1 ? "," : i + 1 < array.rank() ? ", " : "");
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, shape);
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string bytes = std::string(kMagic) + std::string("\x01\x00", 2);
  bytes += char(header.size() & 255);
  bytes += char(header.size() >> 8);
  bytes += header;
  bytes.append(static_cast<const char*>(array.data), array.bytes());
  write_file_atomically(path, bytes);
}

std::vector<std::vector<int32_t>> parse_ids(const std::string& text, const std::string& origin) {
  std::vector<std::vector<int32_t>> ids;
  std::vector<int32_t> row;
  size_t line = 1;
  const char *p = text.data(), *end = p + text.size();
  while (p != end) {
    const char c = *p;
    if (c == '\n') {
      if (!row.empty()) ids.push_back(std::exchange(row, {}));
      ++line, ++p;
    } else if (c == ' ' || c == ',' || c == '\t' || c == '\r' || c == '[' || c == ']') {
      ++p;
    } else {
      int64_t value = 0;
      const auto [next, problem] = std::from_chars(p, end, value);
      TW_CHECK(problem == std::errc{}, data, "{}, line {}: token ids are numbers, found \"{}\"", origin, line,
               std::string(p, size_t(std::min<ptrdiff_t>(end - p, 16))));
      row.push_back(checked_id(value, origin));
      p = next;
    }
  }
  if (!row.empty()) ids.push_back(std::move(row));
  return ids;
}

std::vector<std::vector<int32_t>> read_ids(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, size_t(256) << 20);
  return bytes.starts_with(kMagic) ? read_npy_ids(bytes, path.string()) : parse_ids(bytes, path.string());
}

}  // namespace tw
