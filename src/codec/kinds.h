// The modalities beside text. A new one is a folder with its CodecKind, and a line in kinds.cpp.
#pragma once
#include <filesystem>
#include <span>
#include <string_view>

#include "src/codec/codec.h"

namespace tw {

std::span<const CodecKind* const> codec_kinds() noexcept;
const CodecKind* codec_kind(std::string_view name) noexcept;  // nullptr = none of them
// By the end of its name, whatever its case, and where text has it too by the first 64 KiB; nullptr = text, or nothing we read. A file that
// cannot be read is of the kind its name says.
const CodecKind* codec_kind_of(const std::filesystem::path& file);
// Whose files a file is read with (CodecKind::companions); nullptr = nobody's.
const CodecKind* codec_kind_with(const std::filesystem::path& companion);

}  // namespace tw
