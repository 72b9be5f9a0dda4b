#include "src/codec/series/tables.h"

#include <algorithm>
#include <map>

#include "src/codec/series/csv_rows.h"
#include "src/core/error.h"
#include "src/core/utf8.h"
#include "src/hdf5/foreign.h"
#include "src/hdf5/foreign_tables.h"

namespace tw {
namespace {

static_assert(h5::kMostTableColumns <= kMostColumns);
constexpr size_t kLongestName = 1024;
constexpr int64_t kNamed = 3;  // rows left out that are named

// The names of columns: those of the header, "column 3" where it has none; a name that is there twice gets a number.
template <class Text>
std::vector<std::string> names_of(const std::vector<Text>& header, size_t columns) {
  std::vector<std::string> names;
  std::map<std::string, int, std::less<>> seen;
  for (size_t c = 0; c < columns; ++c) {
    std::string name = c < header.size() ? repaired_utf8(utf8_or_windows_1252(header[c]).substr(0, kLongestName)) : "";
    if (name.empty()) name = fmt::format("column {}", c + 1);
    if (const int n = ++seen[name]; n > 1) name += fmt::format(" #{}", n);
    names.push_back(std::move(name));
  }
  return names;
}

TablesRead read_csv(std::string_view bytes, const std::function<void(const TableHead&)>& begin, const std::function<void(const std::vector<std::string_view>&)>& row) {
  const CsvDialect dialect = sniff_csv(bytes);
  CsvRows rows(bytes, dialect);
  std::vector<std::string_view> fields;
  if (dialect.header) rows.next(fields);
  const TableHead head{names_of(fields, dialect.columns), dialect.decimal_comma};
  begin(head);
  int64_t all = 0, wrong = 0;
  std::string said;
  while (rows.next(fields)) {
    ++all;
    if (fields.size() == dialect.columns) row(fields);
    else if (++wrong <= kNamed) said += fmt::format("{}line {} has {} fields", said.empty() ? "" : ", ", rows.line(), fields.size());
  }
  TablesRead read{.tables = 1, .rows = all - wrong, .columns = dialect.columns};
  if (wrong > 0) read.note = fmt::format("{} of {} rows are left out: of {} columns, {}{}", wrong, all, dialect.columns, said, wrong > kNamed ? ", …" : "");
  return read;
}

TablesRead read_hdf5(const CodecInput& file, const std::function<void(const TableHead&)>& begin, const std::function<void(const std::vector<std::string_view>&)>& row) {
  TablesRead read;
  size_t columns = 0;
  std::vector<std::string_view> fields;
  const h5::ForeignTableSink sink = {.table =
                                         [&](const h5::ForeignTable& table) {
                                           columns = table.columns.size();
                                           read.columns = std::max(read.columns, columns);
                                           begin({names_of(table.columns, columns), false});
                                         },
                                     .rows =
                                         [&](std::string_view text) {
                                           CsvRows rows(text, {.columns = columns});
                                           while (rows.next(fields)) {
                                             TW_CHECK(fields.size() == columns, data, "its reader gave {} fields of {} columns", fields.size(), columns);
                                             row(fields), ++read.rows;
                                           }
                                         }};
  h5::ForeignTables found = h5::read_foreign_tables(file.bytes, file.path.empty() ? "the table" : file.path.filename().string(), sink, h5::foreign_limits(int64_t(file.bytes.size())));
  read.tables = found.tables;
  read.note = std::move(found.left_out);
  if (!found.own.empty()) read.no_data = found.own + " of Tokenwerk";
  return read;
}

}  // namespace

bool is_hdf5_name(std::string_view name) {
  const std::string lower = ascii_lower(name);
  return lower.ends_with(".h5") || lower.ends_with(".hdf5");
}

TablesRead read_tables(const CodecInput& file, const std::function<void(const TableHead&)>& begin,
                       const std::function<void(const std::vector<std::string_view>&)>& row) {
  const bool hdf5 = h5::is_hdf5(file.bytes);
  TW_CHECK(hdf5 || !is_hdf5_name(file.path.string()), data, "no HDF5 file, whatever its name says");
  TablesRead read = hdf5 ? read_hdf5(file, begin, row) : read_csv(file.bytes, begin, row);
  TW_CHECK(read.rows > 0 || !read.no_data.empty(), data, "no {} inside{}", hdf5 ? "table of numbers" : "row", read.note.empty() ? "" : ": " + read.note);
  return read;
}

}  // namespace tw
