// Where text went and where tokens come from, over token files and runs.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace tw {

// `source`: a path or a SHA-256 (data/provenance.h). data: token files and run folders. Fills in what people and
// machines read. Error(no_input), Error(data).
void find_source(const std::string& source, const std::vector<std::filesystem::path>& data, int raw_bits,
                 std::string& text, nlohmann::json& json);

// Token `number` of a token file, or of a run's file of `split`. tokenizer: "" = the one beside the tokens.
void show_token(const std::filesystem::path& data, const std::string& split, int64_t number,
                const std::filesystem::path& tokenizer, int raw_bits, std::string& text, nlohmann::json& json);

}  // namespace tw
