// Files packed as a whole: NAME.gz, NAME.zst and NAME.xz are read like NAME.
#pragma once
#include <filesystem>
#include <memory>

#include "src/data/formats/byte_reader.h"

namespace tw {

// "a.txt.gz" -> "a.txt"; what is not packed stays as it is.
std::filesystem::path unpacked_name(const std::filesystem::path& path);

// Reads what the ending of `path` says is packed (gzip RFC 1952, Zstandard RFC 8878, xz; several members follow each
// other) in constant memory; null where it says nothing. `packed` must outlive it. read() is Error(data) where the bytes
// are damaged or cut off, where they want more than 128 MiB to be unpacked, and where more than 64 MiB + 200 times as
// many bytes come out as went in: such files are made to fill disks.
std::unique_ptr<ByteReader> unpack(const std::filesystem::path& path, ByteReader& packed);

}  // namespace tw
