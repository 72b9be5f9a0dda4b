// Whole numbers out of HDF5 files of others, of every version and layout that the HDF5 library knows: by that library
// itself, which crashes on files made for it, and therefore in a sandbox. Our own token files are read by reader.h.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "src/core/sandbox.h"

namespace tw::h5 {

// Enough for `bytes` of file: 1 GiB of memory, a minute, and a second more for each 20 MB.
SandboxLimits foreign_limits(int64_t bytes);

struct ForeignFile {
  std::filesystem::path path;
  std::string dataset;  // "group/name"; "" = the only dataset that can be meant, wherever it lies
  SandboxLimits limits;
};

// Gives the elements of a dataset of one dimension and of integers to take(), in order and piece by piece; any integer
// type, any layout within the file, HDF5's own filters. Returns how many there were. Nothing is read but the file: links
// to other files, external and virtual storage, and filters that are plug-ins are refused. No other thread may be within
// HDF5 meanwhile. Error(no_input), Error(data).
int64_t read_foreign_integers(const ForeignFile& file, const std::function<void(std::span<const int64_t>)>& take);

}  // namespace tw::h5
