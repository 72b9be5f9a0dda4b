// Tables of measurements in files: one of a CSV, any number of an HDF5 file.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "src/codec/codec.h"

namespace tw {

struct TableHead {
  std::vector<std::string> names;  // of columns: UTF-8, each another
  bool decimal_comma = false;      // in its fields
};

struct TablesRead {
  int64_t tables = 0, rows = 0;  // of all tables
  size_t columns = 0;            // of the widest
  std::string note;              // what was left out, "" = nothing
  std::string no_data;           // what else the file is, "a token file of Tokenwerk": then there are no tables
};

// Gives the head of each table to begin(), then each of its rows to row(), which has as many fields as the head has names; fields hold until it
// returns. Memory does not grow with the file. HDF5 is read in a sandbox (hdf5/foreign_tables.h): no other thread may be within HDF5 meanwhile.
// Error(data) where there is no table.
TablesRead read_tables(const CodecInput& file, const std::function<void(const TableHead&)>& begin,
                       const std::function<void(const std::vector<std::string_view>&)>& row);

bool is_hdf5_name(std::string_view name);  // ends with .h5 or .hdf5, of any case

}  // namespace tw
