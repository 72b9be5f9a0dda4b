// Tables of measurements out of HDF5 files of others, as rows of text: by the HDF5 library in a sandbox, like the numbers of foreign.h.
//   What is a table: the datasets of a group that are as long as each other, side by side, of one dimension (a column each) or of two
//   (rows, columns); and each dataset of records (compound). A table has kFewestRows rows or more and a column of numbers.
//   Columns of two-dimensional datasets are named by an attribute ("columns", "names", "channels" and the like), else by the texts beside
//   them that are as many (as pandas writes them), else by the dataset and a number.
//   Numbers are of any integer or floating type; scale_factor, add_offset, _FillValue and missing_value are followed (CF conventions 1.10,
//   sections 8.1 and 2.5.1). Enumerations and texts are words, truth values 0 and 1.
// What else there is (single values, three dimensions, virtual and external storage, links to other files, filters that are plug-ins, …) is
// named, counted and left out.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "src/core/sandbox.h"

namespace tw::h5 {

inline constexpr size_t kMostTableColumns = 4096;
inline constexpr int64_t kFewestRows = 3;

struct ForeignTable {
  std::string group;  // where it lies: "/", "/run1/engine"
  int64_t rows = 0;
  std::vector<std::string> columns;  // UTF-8, none is empty; may be there twice
};

struct ForeignTableSink {
  std::function<void(const ForeignTable&)> table;
  // Whole rows of the table that began: fields between commas, those that need it in quotes (RFC 4180), as many as there are columns to each
  // row where the file's reader is to be believed. Numbers are as short as they come back, "nan" is one that is not there.
  std::function<void(std::string_view)> rows;
};

struct ForeignTables {
  int64_t tables = 0;
  std::string left_out;  // "2 datasets are left out: /calibration: a single value; …", "" = nothing
  std::string own;       // "a token file" where the file is one of Tokenwerk's and no data; then there are no tables
};

bool is_hdf5(std::string_view bytes) noexcept;

// `name` is for messages; limits: foreign_limits() of foreign.h. No other thread may be within HDF5 meanwhile. Error(data) where the file cannot be read.
ForeignTables read_foreign_tables(std::string_view bytes, const std::string& name, const ForeignTableSink& sink, const SandboxLimits& limits);

// What the sandbox says of a file, which may be anything: given in pieces of any size. Error(data) where it is not what it should be.
class ForeignTableStream {
 public:
  explicit ForeignTableStream(const ForeignTableSink& sink) : sink_(sink) {}
  void add(std::string_view piece);
  ForeignTables finish() const;

 private:
  void take(uint32_t kind, std::string_view body);
  const ForeignTableSink& sink_;
  std::string waiting_;
  ForeignTables found_;
};

}  // namespace tw::h5
