// Our own reader of HDF5 files: the small part of the format that token files use. HDF5's library is not asked, since
// damaged files, which may come from anyone, make it leak, crash or hang.
#pragma once
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tw::h5 {

uint32_t checksum(std::string_view bytes) noexcept;  // of metadata: Jenkins' lookup3

enum class Element : uint8_t { u8, u16, u32, i64 };  // little-endian
int size_of(Element element) noexcept;

// A dataset whose bytes lie in one piece of the file.
struct Extent {
  int64_t offset = 0;  // of the first byte in the file, 0 where it has none
  std::vector<int64_t> shape;
  Element element = Element::u8;
  int64_t elements() const noexcept;
  int64_t bytes() const noexcept { return elements() * size_of(element); }  // they lie within the file
};

// The root group of a file of the format HDF5 1.10 writes (superblock 3, HDF5 File Format Specification 3.0): all of
// its metadata has checksums, which are verified before anything else is read of it. Its links and attributes must
// stand in the object header, as up to 8 of each do by default.
class Reader {
 public:
  // `file` outlives the reader and is the whole file; `path` is for messages. Error(data) where it is no such file, is
  // cut off or damaged.
  Reader(std::string_view file, const std::filesystem::path& path);

  // False where there is no such link; Error(data) where it leads elsewhere (soft, external).
  bool has_dataset(const std::string& name) const;
  // Error(data) where the dataset is missing, has elements of none of `elements`, is of another rank, chunked,
  // filtered, virtual, kept in other files, or reaches beyond the end of the file.
  Extent find_contiguous(const std::string& name, int rank, std::initializer_list<Element> elements) const;
  // Attributes of the root group; Error(data) where one is missing or of another kind.
  int64_t read_int(const std::string& name) const;
  std::string read_text(const std::string& name) const;  // of fixed length

 private:
  struct Message {
    int kind = 0;
    std::string_view body;
  };
  struct Link {
    bool hard = false;
    uint64_t address = 0;
  };
  struct Attribute {
    std::string_view type, space, value;
  };
  std::vector<Message> object(uint64_t address) const;
  void messages_of(std::string_view block, int flags, std::vector<Message>& messages,
                   std::vector<std::pair<uint64_t, uint64_t>>& more) const;
  std::string_view checked_block(uint64_t address, uint64_t bytes, const char* what) const;
  void add_link(std::string_view body);
  void add_attribute(std::string_view body);
  const Attribute& attribute(const std::string& name) const;

  std::string_view file_;
  std::string path_;
  std::map<std::string, Link> links_;
  std::map<std::string, Attribute> attributes_;
};

}  // namespace tw::h5
