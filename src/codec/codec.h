// A codec is a modality's way between bytes and token ids: text, audio, images, series, molecules.
// A modality is a folder here; it implements Codec and offers one CodecKind (kinds.h lists them).
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
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
  int32_t vocab_size = 4096;  // ids of the codebook at most, special tokens included
  int threads = 1;            // results do not depend on it
  std::string audio = "rvq";  // or "mulaw"
  std::string image = "patches";  // or "conv"
  int image_size = 32;        // pixels of a picture's longer side at most: larger ones are made smaller
  int video_size = 64;        // of a video's
  int video_rate = 5;         // frames a second
  int steps = 2000;           // of training a network, by codecs that have one
  // Told now and then how much of the training is done, 0 to 1, by a codec that takes its time; in the calling thread. It may throw.
  std::function<void(double)> progress = nullptr;
};

// A file: its content (mapped: it may be larger than memory), and where it lies, by which files that belong to it are found.
struct CodecInput {
  CodecInput(std::string_view content, std::filesystem::path where = {}) : bytes(content), path(std::move(where)) {}
  CodecInput(const std::string& content) : bytes(content) {}
  CodecInput(const char* content) : bytes(content) {}
  std::string_view bytes;
  std::filesystem::path path;
  int variants = 0;  // how many times a document is to be written in another way besides, where its kind has several: for training
};

// A file of a kind and the words that go with it ("" = none).
struct CaptionedFile {
  std::filesystem::path path;
  std::string caption;
};
// A document as an artefact, and the words it was made for.
struct CaptionedDocument {
  std::string bytes, caption;
  std::string sheet = {};  // Codec::sheet
};

// Where the ids of a file go.
class CodecSink {
 public:
  virtual ~CodecSink() = default;
  virtual void ids(std::span<const int32_t> some) = 0;
  // Words that go with a document, before its first id, where the file knows them ("7", of a handwritten digit).
  virtual void caption(std::string) {}
  // Between two documents of a file that holds several (lines of molecules).
  virtual void end_document() {}
  // The document that begins is the one before, written in another way: where that one goes it goes as well.
  virtual void variant() {}
  // What of the file could not be used: "3 of 100 molecules are left out: line 7: …".
  virtual void note(std::string) {}
};

// A number that a document has at each step of time; NaN where a step has none.
struct Track {
  std::string name;
  std::vector<double> values;
};

// Which ids may follow in a document that is being made, by the rules of its kind.
class DocumentGuide {
 public:
  virtual ~DocumentGuide() = default;
  virtual void add(int32_t id) = 0;  // the document's next id
  // ids (vocab_size): 1 where that id may follow, 0 where not. Whether the document may end here. Something may always follow, or it may end.
  virtual bool allowed(std::span<uint8_t> ids) const = 0;
};

class Codec {
 public:
  virtual ~Codec() = default;
  virtual std::string_view name() const = 0;      // "text"
  virtual int32_t vocab_size() const = 0;         // ids are in [0, vocab_size)
  virtual std::string hash() const = 0;           // of everything that decides ids: equal hash, equal ids
  // Encode and decode may be called from several threads at once.
  // A file, in blocks as they are made. Error(data) where nothing of it can be used.
  virtual void encode(const CodecInput& file, CodecSink& sink) const = 0;
  // One document as an artefact of the kind's extension. Error(data) for an id out of range, or where the ids are no document.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  // A PNG that shows a document at a glance, of kinds that are looked at and take their time; "" = none.
  virtual std::string sheet(std::span<const int32_t> ids) const {
    (void)ids;
    return "";
  }
  // Ids that a document begins with, where those of the training files have a beginning in common (the columns of a table): a model that
  // makes a document goes on from them.
  virtual std::vector<int32_t> opening() const { return {}; }
  // How many ids a whole document has that begins with these: 0 = so few do not tell it, -1 = nothing tells it but its end marker.
  virtual int64_t length(std::span<const int32_t> beginning) const {
    (void)beginning;
    return -1;
  }
  // nullptr = any id may follow any other. The codec outlives its guides.
  virtual std::unique_ptr<DocumentGuide> guide() const { return nullptr; }
  // Of kinds that go on step by step in time: the id that ends a step, -1 = there are no steps; and the numbers of a document at each of its steps.
  virtual int32_t step_id() const { return -1; }
  virtual std::vector<Track> tracks(std::span<const int32_t> ids) const {
    (void)ids;
    return {};
  }
  // Measured on files the codebook was not trained on. Error(no_input) where one cannot be read.
  virtual std::vector<CodecQuality> quality(std::span<const std::filesystem::path> files) const = 0;
  // Writes the codebook under `path` in the modality's own format; `CodecKind::load` reads it.
  virtual void save(const std::filesystem::path& path) const = 0;

 protected:
  Codec() = default;
  Codec(const Codec&) = default;
  Codec& operator=(const Codec&) = default;
};

// What a file holds, as far as it can be told without a codebook.
struct CodecContent {
  int64_t units = 0;       // molecules, samples, pixels, values
  std::string said;        // "20000 molecules"
  std::string note;        // what a person should know of it though it is used
  std::string no_data;     // what it is where it was made for something else and nothing is wrong with it: then it is passed over
};

// Shares of documents by a number each has, beside those of the training files.
struct SampleHistogram {
  std::string title, unit;          // "molecular weight", "g/mol"
  std::vector<double> edges;        // rising, one more than shares
  std::vector<double> samples, training;
};

// What a model's documents are worth.
struct SampleJudgement {
  std::vector<CodecQuality> measures;
  std::vector<SampleHistogram> histograms;
};

// How a modality makes its codecs.
struct CodecKind {
  std::string_view name;                              // "molecule": also of its markers and folders
  std::span<const std::string_view> endings = {};     // of the names of the files it reads, lower case: ".wav"
  std::string_view artefact = {};                     // extension of what decode() gives
  std::string_view codebook = {};                     // name of the codebook's file in a run: "molecule.json"
  bool lines = false;                                 // several artefacts, one after the other, are a file of the kind
  bool several = false;                               // a file may hold several documents
  bool folder_captions = false;                       // the folder a file lies in says what it is of
  std::span<const std::string_view> companions = {};  // endings of files that are read with one of the kind and hold none: labels
  // Whether a file whose ending text has as well is of this kind; sees its name and the first 64 KiB. nullptr = the ending says it.
  bool (*recognises)(std::string_view name, std::string_view head) = nullptr;
  // Error(data) where nothing of it can be used.
  CodecContent (*inspect)(const CodecInput& file) = nullptr;
  std::unique_ptr<Codec> (*train)(std::span<const std::filesystem::path> files, const CodecTraining& options) = nullptr;
  std::unique_ptr<Codec> (*load)(const std::filesystem::path& path) = nullptr;
  // nullptr = nothing is known of a model's documents but that they are there.
  SampleJudgement (*judge)(std::span<const CaptionedDocument> samples, std::span<const CaptionedFile> training) = nullptr;
};

}  // namespace tw
