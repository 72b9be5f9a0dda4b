// Places of 4 x 4 pixels by a trained convolutional autoencoder whose middle is rounded (nn/picture_coder.h, nn/fsq.h): one token a place, which
// the network makes with sight of the places around it.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>

#include "src/codec/codec.h"

namespace tw {

inline constexpr const char* kConvCodecFormat = "tokenwerk convolutional image codec 1";
// On the CPU. The same bits for any number of threads, on CPUs of one instruction set (kernels/cpu/simd.h).
std::unique_ptr<Codec> train_conv_codec(std::span<const std::filesystem::path> files, const CodecTraining& options);
// Of a codebook whose format is the one above. Error(data) naming the file.
std::unique_ptr<Codec> conv_codec_of(const nlohmann::json& book, const std::string& file);

}  // namespace tw
