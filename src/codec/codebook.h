// Codebooks that are JSON, as each codec keeps its own: {"format": "tokenwerk molecule codec 1", …}.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "src/codec/vector_book.h"

namespace tw {

// A file of anyone, at most `most` bytes and `values` values. Error(no_input), Error(data) where it is no JSON object of one of these formats; `what` it
// is to be: "molecules".
nlohmann::json read_codebook(const std::filesystem::path& path, std::initializer_list<const char*> formats, const char* what, size_t most, size_t values);

nlohmann::json json_of(const VectorBook& book);
// A book within such a file, of at most `most` vectors of at most 4096 numbers, each within 1e6. Error(data) naming the file.
VectorBook book_of(const nlohmann::json& json, const std::string& file, size_t most);

}  // namespace tw
