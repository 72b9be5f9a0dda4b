// A codec is a modality's way between bytes and token ids: text, audio, images, series, molecules.
// A modality is a folder here; it implements Codec and offers one CodecKind.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tw {

// One honest number against one baseline, both in the unit `metric` names.
struct CodecQuality {
  std::string metric;         // "bytes per token, larger is better"
  double value = 0;
  std::string baseline_name;  // "one token a byte"
  double baseline = 0;
  bool lossless = false;      // every file came back byte for byte
};

struct CodecTraining {
  int32_t vocab_size = 4096;  // ids of the codebook, special tokens included
  int threads = 1;            // results do not depend on it
};

class Codec {
 public:
  virtual ~Codec() = default;
  virtual std::string_view name() const = 0;      // "text"
  virtual int32_t vocab_size() const = 0;         // ids are in [0, vocab_size)
  virtual std::string hash() const = 0;           // of everything that decides ids: equal hash, equal ids
  // Both may be called from several threads at once.
  virtual std::vector<int32_t> encode(std::string_view bytes) const = 0;
  virtual std::string decode(std::span<const int32_t> ids) const = 0;  // Error(data) for an id out of range
  // Measured on files the codebook was not trained on. Error(no_input) where one cannot be read.
  virtual CodecQuality quality(std::span<const std::filesystem::path> files) const = 0;
  // Writes the codebook under `path` in the modality's own format; `CodecKind::load` reads it.
  virtual void save(const std::filesystem::path& path) const = 0;

 protected:
  Codec() = default;
  Codec(const Codec&) = default;
  Codec& operator=(const Codec&) = default;
};

// How a modality makes its codecs.
struct CodecKind {
  std::string_view name;
  std::unique_ptr<Codec> (*train)(std::span<const std::filesystem::path> files, const CodecTraining& options);
  std::unique_ptr<Codec> (*load)(const std::filesystem::path& path);
};

}  // namespace tw
