// Patches of 4 x 4 pixels out of two palettes, one for the patch and one for what it leaves over (a residual vector quantiser; Gersho, Gray
// 1992, section 12.10): two tokens a place. Colours are kept at half the resolution, as in JPEG.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>

#include "src/codec/codec.h"

namespace tw {

inline constexpr const char* kPatchCodecFormat = "tokenwerk image codec 1";
std::unique_ptr<Codec> train_patch_codec(std::span<const std::filesystem::path> files, const CodecTraining& options);
// Of a codebook whose format is the one above. Error(data) naming the file.
std::unique_ptr<Codec> patch_codec_of(const nlohmann::json& book, const std::string& file);

}  // namespace tw
