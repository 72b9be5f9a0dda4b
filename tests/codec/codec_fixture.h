// What tests of codecs share.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "src/codec/codec.h"
#include "src/core/file.h"
#include "tests/support/process.h"

namespace tw {

// Ids of each document of a file, and what was said of it.
struct Encoded final : CodecSink {
  Encoded(const Codec& codec, const CodecInput& file) : documents(1) { codec.encode(file, *this); }
  void ids(std::span<const int32_t> some) override { documents.back().insert(documents.back().end(), some.begin(), some.end()); }
  void end_document() override { documents.emplace_back(); }
  void note(std::string text) override { notes.push_back(std::move(text)); }
  std::vector<std::vector<int32_t>> documents;
  std::vector<std::string> notes;
};

// A folder and files in it.
class CodecFiles : public testing::Test {
 protected:
  std::filesystem::path file(const std::string& name, const std::string& content) const {
    write_file_atomically(folder_.path() / name, content);
    return folder_.path() / name;
  }
  TemporaryFolder folder_;
};

}  // namespace tw
