// A small set of tensors with known values, saved and read in many layouts.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "src/checkpoint/checkpoint.h"
#include "tests/support/process.h"

namespace tw {

struct ToyTensor {
  std::string name, slot;
  Shape shape;
  uint64_t number = 0;  // sets its values
};
std::vector<ToyTensor> toy_tensors(int64_t large = 70001);  // large: elements of the largest
float toy_value(const ToyTensor& tensor, int64_t element, int64_t step);
CheckpointInfo toy_info(int64_t step);

enum class Layout {
  whole,   // each tensor on one rank, in turn
  even,    // ZeRO: equal slices of each tensor, whatever the rows
  ragged,  // unequal slices, several of one tensor on a rank, some ranks without any
};

// What one rank holds; keeps the memory of the slices.
struct ToySlices {
  std::vector<std::vector<float>> memory;
  std::vector<TensorSlice> slices;
};
std::vector<std::pair<int64_t, int64_t>> toy_ranges(Layout layout, size_t tensor, int64_t count, int rank, int ranks);
ToySlices toy_slices(Layout layout, int64_t step, int rank, int ranks, int64_t large = 70001);

// Saves on `ranks` threads; the folder they agree on.
std::filesystem::path save_toy(const std::filesystem::path& folder, int64_t step, int ranks = 2,
                               Layout layout = Layout::even, int keep_latest_k = 3, int64_t keep_every = 0,
                               int64_t large = 70001);
// Reads every element and compares; the number of wrong ones.
int64_t wrong_elements(const Checkpoint& checkpoint, int64_t step, int64_t large = 70001);
// Names in a folder, sorted.
std::vector<std::string> names_in(const std::filesystem::path& folder);

}  // namespace tw
