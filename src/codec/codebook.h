// Codebooks that are JSON, as each codec keeps its own: {"format": "tokenwerk molecule codec 1", …}.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>

namespace tw {

// A file of anyone, at most `most` bytes and `values` values. Error(no_input), Error(data) where it is no JSON object of this format; `what` it
// is to be: "molecules".
nlohmann::json read_codebook(const std::filesystem::path& path, const char* format, const char* what, size_t most, size_t values);

}  // namespace tw
