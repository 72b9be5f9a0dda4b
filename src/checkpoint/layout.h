// The HDF5 side of shards and of model.h5. HDF5 builds files in memory only and never opens one on a disk: so a full
// disk is an error of our own write calls, and HDF5 has nothing unsaved when the program ends.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/checkpoint/manifest.h"

namespace tw {

// A file whose datasets are still empty: `image` is its begin, the rest up to `bytes` is tensors and gaps of zeros.
struct FileLayout {
  std::string image;
  int64_t bytes = 0;
};

// One contiguous dataset /<slot>/<name>/<begin> for each piece, with attributes shape, begin, end. Latest file format
// (its metadata has checksums), space allocated at once and never filled, large datasets aligned to 4096 bytes.
// Sets the pieces' offsets and orders the pieces by them.
FileLayout lay_out_shard(std::vector<StoredPiece>& pieces);

// model.h5, complete: virtual datasets that show each tensor in its shape, /<name> for slot "weight" and
// /optimizer/<slot>/<name> for the others. What is missing reads as NaN.
std::string lay_out_model_view(const std::vector<StoredFile>& shards);

}  // namespace tw
