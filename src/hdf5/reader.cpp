// HDF5 File Format Specification 3.0; the numbers in comments are its sections.
#include "src/hdf5/reader.h"

#include <bit>
#include <cstring>

#include "src/core/error.h"

namespace tw::h5 {
static_assert(std::endian::native == std::endian::little, "numbers are read as they lie in the file");
namespace {

// Kinds of messages in an object header (IV.A.2).
constexpr int kSpace = 0x01, kLinkInfo = 0x02, kType = 0x03, kExternal = 0x07, kLink = 0x06, kLayout = 0x08,
              kFilters = 0x0B, kAttribute = 0x0C, kContinuation = 0x10, kAttributeInfo = 0x15, kLastKnown = 0x18;
constexpr uint64_t kNowhere = ~uint64_t(0);
constexpr size_t kMaxText = 4096;  // bytes of a text attribute
constexpr size_t kMaxBlocks = 64;  // of an object header: each may name more
constexpr size_t kMaxMessages = 4096;

// Takes numbers and bytes off the front of a message.
class Bytes {
 public:
  Bytes(std::string_view bytes, const std::string& path) : bytes_(bytes), path_(path) {}
  uint64_t number(size_t width) {
    const std::string_view raw = text(width);
    uint64_t value = 0;
    std::memcpy(&value, raw.data(), width);  // little-endian, as we are
    return value;
  }
  std::string_view text(uint64_t bytes) {
    TW_CHECK(bytes <= bytes_.size(), data, "{} is damaged: an HDF5 message ends within a field", path_);
    const std::string_view out = bytes_.substr(0, size_t(bytes));
    bytes_.remove_prefix(size_t(bytes));
    return out;
  }
  size_t left() const noexcept { return bytes_.size(); }

 private:
  std::string_view bytes_;
  const std::string& path_;
};

// What a datatype message says (IV.A.2.d), of the two classes that we use.
struct Type {
  bool text = false, integer = false, is_signed = false;
  uint64_t bytes = 0;
};
Type type_of(std::string_view body, const std::string& path) {
  Bytes in(body, path);
  const uint64_t head = in.number(1), bits = in.number(3);
  Type type;
  type.bytes = in.number(4);
  const uint64_t version = head >> 4, kind = head & 15;
  if (version < 1 || version > 3) return type;
  type.text = kind == 3;  // of fixed length: variable ones are a class of their own
  if (kind != 0) return type;
  const uint64_t offset = in.number(2), precision = in.number(2);
  // Bit 0: big-endian.
  type.integer = (bits & 1) == 0 && offset == 0 && type.bytes >= 1 && type.bytes <= 8 && precision == 8 * type.bytes;
  type.is_signed = bits & 8;
  return type;
}

bool is(const Type& type, Element element) {
  return type.integer && type.bytes == uint64_t(size_of(element)) && type.is_signed == (element == Element::i64);
}

// A dataspace message (IV.A.2.b): false for one that holds nothing.
bool shape_of(std::string_view body, std::vector<uint64_t>& dims, const std::string& path) {
  Bytes in(body, path);
  const uint64_t version = in.number(1), rank = in.number(1);
  in.number(1);  // whether there are largest extents too
  const uint64_t kind = in.number(1);
  TW_CHECK(version == 2 && kind <= 2, data, "{}: an HDF5 dataspace of version {} and kind {} is not read", path,
           version, kind);
  for (uint64_t i = 0; i < rank; ++i) dims.push_back(in.number(8));
  return kind != 2;
}

}  // namespace

// Bob Jenkins' hashlittle (lookup3.c, public domain).
uint32_t checksum(std::string_view bytes) noexcept {
  uint32_t a = 0xdeadbeef + uint32_t(bytes.size()), b = a, c = a;
  const auto word = [&](size_t at) {
    uint32_t w = 0;
    for (size_t i = 0; i < 4 && at + i < bytes.size(); ++i) w |= uint32_t(uint8_t(bytes[at + i])) << (8 * i);
    return w;
  };
  size_t at = 0;
  for (; bytes.size() - at > 12; at += 12) {
    a += word(at), b += word(at + 4), c += word(at + 8);
    a -= c, a ^= std::rotl(c, 4), c += b;
    b -= a, b ^= std::rotl(a, 6), a += c;
    c -= b, c ^= std::rotl(b, 8), b += a;
    a -= c, a ^= std::rotl(c, 16), c += b;
    b -= a, b ^= std::rotl(a, 19), a += c;
    c -= b, c ^= std::rotl(b, 4), b += a;
  }
  if (at == bytes.size()) return c;
  a += word(at), b += word(at + 4), c += word(at + 8);
  c ^= b, c -= std::rotl(b, 14);
  a ^= c, a -= std::rotl(c, 11);
  b ^= a, b -= std::rotl(a, 25);
  c ^= b, c -= std::rotl(b, 16);
  a ^= c, a -= std::rotl(c, 4);
  b ^= a, b -= std::rotl(a, 14);
  c ^= b, c -= std::rotl(b, 24);
  return c;
}

int size_of(Element element) noexcept {
  switch (element) {
    case Element::u8:
      return 1;
    case Element::u16:
      return 2;
    case Element::u32:
      return 4;
    case Element::i64:
      return 8;
  }
  return 0;
}

int64_t Extent::elements() const noexcept {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

// Superblock 3, offsets and lengths of 8 bytes (II.A).
Reader::Reader(std::string_view file, const std::filesystem::path& path) : file_(file), path_(path.string()) {
  TW_CHECK(file.size() >= 48, data, "{} has {} bytes: too few for an HDF5 file", path_, file.size());
  TW_CHECK(file.starts_with("\x89HDF\r\n\x1a\n"), data, "{} is not an HDF5 file", path_);
  Bytes in(file.substr(8, 40), path_);
  const uint64_t version = in.number(1), offset_bytes = in.number(1), length_bytes = in.number(1);
  TW_CHECK(version == 3 && offset_bytes == 8 && length_bytes == 8, data,
           "{} is an HDF5 file of another format version ({}; wanted 3, which HDF5 1.10 writes with libver='v110')",
           path_, version);
  in.number(1);  // flags: open for writing
  const uint64_t base = in.number(8);
  in.number(8);  // extension
  const uint64_t end = in.number(8), root = in.number(8);
  checked_block(0, 48, "superblock");
  TW_CHECK(base == 0, data, "{} has a user block, which is not supported", path_);
  TW_CHECK(end == file.size(), data, "{} has {} bytes instead of {}: it is {}", path_, file.size(), end,
           file.size() < end ? "cut off" : "damaged");
  for (const Message& m : object(root)) {
    if (m.kind == kLink) add_link(m.body);
    if (m.kind == kAttribute) add_attribute(m.body);
    if (m.kind != kLinkInfo && m.kind != kAttributeInfo) continue;
    // Where links or attributes are many they lie in a heap (IV.A.2.c, IV.A.2.v).
    Bytes info(m.body, path_);
    info.number(1);
    const uint64_t flags = info.number(1);
    if (flags & 1) info.number(m.kind == kLinkInfo ? 8 : 2);
    TW_CHECK(info.number(8) == kNowhere, data, "{}: more than a few {} of an HDF5 file are not read", path_,
             m.kind == kLinkInfo ? "datasets" : "attributes");
  }
}

// A block that ends in its checksum.
std::string_view Reader::checked_block(uint64_t address, uint64_t bytes, const char* what) const {
  TW_CHECK(bytes >= 8 && address <= file_.size() && bytes <= file_.size() - address, data,
           "{} is damaged: an HDF5 {} lies beyond its end", path_, what);
  const std::string_view block = file_.substr(size_t(address), size_t(bytes));
  uint32_t sum = 0;
  std::memcpy(&sum, block.data() + block.size() - 4, 4);
  TW_CHECK(sum == checksum(block.substr(0, block.size() - 4)), data,
           "{} is damaged: the checksum of an HDF5 {} at byte {} does not match", path_, what, address);
  return block.substr(0, block.size() - 4);
}

// An object header of version 2 (IV.A.1.b) and the blocks that go on with it.
std::vector<Reader::Message> Reader::object(uint64_t address) const {
  TW_CHECK(address < file_.size(), data, "{} is damaged: an HDF5 object lies beyond its end", path_);
  Bytes in(file_.substr(size_t(address)), path_);
  TW_CHECK(in.left() >= 16 && in.text(4) == "OHDR" && in.number(1) == 2, data,
           "{} is damaged: there is no HDF5 object at byte {}", path_, address);
  const int flags = int(in.number(1));
  if (flags & 0x20) in.text(16);  // times
  if (flags & 0x10) in.text(4);   // when attributes move to a heap
  const uint64_t first = in.number(size_t(1) << (flags & 3));
  const uint64_t head = file_.size() - address - in.left();
  TW_CHECK(first <= in.left(), data, "{} is damaged: an HDF5 object header lies beyond its end", path_);
  std::vector<Message> messages;
  std::vector<std::pair<uint64_t, uint64_t>> more;
  messages_of(checked_block(address, head + first + 4, "object header").substr(size_t(head)), flags, messages, more);
  for (size_t i = 0; i < more.size(); ++i) {
    TW_CHECK(i < kMaxBlocks, data, "{} is damaged: an HDF5 object header of more than {} blocks", path_, kMaxBlocks);
    const std::string_view block = checked_block(more[i].first, more[i].second, "object header");
    TW_CHECK(block.starts_with("OCHK"), data, "{} is damaged: an HDF5 object header does not go on at byte {}", path_,
             more[i].first);
    messages_of(block.substr(4), flags, messages, more);
  }
  return messages;
}

void Reader::messages_of(std::string_view block, int flags, std::vector<Message>& messages,
                         std::vector<std::pair<uint64_t, uint64_t>>& more) const {
  const size_t head = flags & 4 ? 6 : 4;
  Bytes in(block, path_);
  while (in.left() >= head) {  // less than a message is a gap
    const int kind = int(in.number(1));
    const uint64_t bytes = in.number(2), how = in.number(1);
    if (flags & 4) in.number(2);  // order of creation
    const std::string_view body = in.text(bytes);
    TW_CHECK(!(how & 2), data, "{}: shared messages of an HDF5 file are not read", path_);
    TW_CHECK(kind <= kLastKnown || !(how & 0x88), data, "{}: an HDF5 message of kind {} must be understood", path_,
             kind);
    TW_CHECK(messages.size() < kMaxMessages, data, "{} is damaged: an HDF5 object of more than {} messages", path_,
             kMaxMessages);
    messages.push_back({kind, body});
    if (kind != kContinuation) continue;
    Bytes at(body, path_);
    const uint64_t address = at.number(8);
    more.emplace_back(address, at.number(8));
  }
}

// IV.A.2.g
void Reader::add_link(std::string_view body) {
  Bytes in(body, path_);
  const uint64_t version = in.number(1), flags = in.number(1);
  TW_CHECK(version == 1, data, "{} is damaged: an HDF5 link of version {}", path_, version);
  const uint64_t kind = flags & 0x08 ? in.number(1) : 0;
  if (flags & 0x04) in.number(8);  // order of creation
  if (flags & 0x10) in.number(1);  // character set
  const std::string name(in.text(in.number(size_t(1) << (flags & 3))));
  Link link;
  link.hard = kind == 0;
  if (link.hard) link.address = in.number(8);
  TW_CHECK(links_.emplace(name, link).second, data, "{} is damaged: two HDF5 links of one name", path_);
}

// IV.A.2.m, version 3
void Reader::add_attribute(std::string_view body) {
  Bytes in(body, path_);
  const uint64_t version = in.number(1), flags = in.number(1);
  TW_CHECK(version == 3 && flags == 0, data, "{}: an HDF5 attribute of version {} and flags {} is not read", path_,
           version, flags);
  const uint64_t name_bytes = in.number(2), type_bytes = in.number(2), space_bytes = in.number(2);
  in.number(1);  // character set
  const std::string_view raw = in.text(name_bytes);
  const std::string name(raw.substr(0, raw.find('\0')));
  Attribute attribute;
  attribute.type = in.text(type_bytes);
  attribute.space = in.text(space_bytes);
  attribute.value = in.text(in.left());
  TW_CHECK(attributes_.emplace(name, attribute).second, data, "{} is damaged: two HDF5 attributes of one name", path_);
}

bool Reader::has_dataset(const std::string& name) const {
  const auto link = links_.find(name);
  if (link == links_.end()) return false;
  TW_CHECK(link->second.hard, data, "{}: \"{}\" is a link to another place, which is not followed", path_, name);
  return true;
}

Extent Reader::find_contiguous(const std::string& name, int rank, std::initializer_list<Element> elements) const {
  TW_CHECK(has_dataset(name), data, "{} has no dataset \"{}\"", path_, name);
  std::string_view type, space, layout;
  bool elsewhere = false;
  for (const Message& m : object(links_.at(name).address)) {
    if (m.kind == kType) type = m.body;
    if (m.kind == kSpace) space = m.body;
    if (m.kind == kLayout) layout = m.body;
    elsewhere = elsewhere || m.kind == kFilters || m.kind == kExternal;
  }
  TW_CHECK(!type.empty() && !space.empty() && !layout.empty(), data, "{}: \"{}\" is not a dataset", path_, name);

  // IV.A.2.i, versions 3 and 4; class 1 is contiguous.
  Bytes place(layout, path_);
  const uint64_t version = place.number(1), kind = place.number(1);
  TW_CHECK((version == 3 || version == 4) && kind == 1 && !elsewhere, data,
           "{}: \"{}\" must lie in one piece: contiguous, not compressed, not in other files", path_, name);
  const uint64_t offset = place.number(8), stored = place.number(8);

  Extent extent;
  const Type got = type_of(type, path_);
  bool known = false;
  for (const Element e : elements)
    if (!known && is(got, e)) extent.element = e, known = true;
  TW_CHECK(known, data, "{}: \"{}\" has elements of another type than expected", path_, name);

  std::vector<uint64_t> dims;
  const bool holds = shape_of(space, dims, path_);
  TW_CHECK(holds && rank > 0 && dims.size() == size_t(rank), data, "{}: \"{}\" must have {} dimension(s)", path_, name,
           rank);
  uint64_t bytes = uint64_t(size_of(extent.element));
  bool empty = false;
  for (const uint64_t d : dims) {
    TW_CHECK(d <= file_.size() && (d == 0 || bytes <= file_.size() / d), data,
             "{} is damaged: \"{}\" is larger than the file", path_, name);
    empty = empty || d == 0;
    if (d) bytes *= d;
    extent.shape.push_back(int64_t(d));
  }
  if (empty) return extent;
  TW_CHECK(stored == bytes && offset <= file_.size() && bytes <= file_.size() - offset, data,
           "{} is damaged: \"{}\" reaches beyond the end of the file", path_, name);
  extent.offset = int64_t(offset);
  return extent;
}

const Reader::Attribute& Reader::attribute(const std::string& name) const {
  const auto found = attributes_.find(name);
  TW_CHECK(found != attributes_.end(), data, "{} has no attribute \"{}\"", path_, name);
  std::vector<uint64_t> dims;
  TW_CHECK(shape_of(found->second.space, dims, path_) && dims.empty(), data,
           "{}: attribute \"{}\" is not a single value", path_, name);
  return found->second;
}

int64_t Reader::read_int(const std::string& name) const {
  const Attribute& a = attribute(name);
  const Type type = type_of(a.type, path_);
  TW_CHECK(type.integer && a.value.size() >= type.bytes, data, "{}: attribute \"{}\" is not an integer", path_, name);
  const uint64_t raw = Bytes(a.value, path_).number(size_t(type.bytes));
  const int shift = int(64 - 8 * type.bytes);
  const int64_t value = type.is_signed ? int64_t(raw << shift) >> shift : int64_t(raw);
  TW_CHECK(type.is_signed || value >= 0, data, "{}: attribute \"{}\" = {} is too large", path_, name, raw);
  return value;
}

std::string Reader::read_text(const std::string& name) const {
  const Attribute& a = attribute(name);
  const Type type = type_of(a.type, path_);
  TW_CHECK(type.text && type.bytes <= kMaxText && a.value.size() >= type.bytes, data,
           "{}: attribute \"{}\" is not a text of fixed length up to {} bytes", path_, name, kMaxText);
  const std::string_view value = a.value.substr(0, size_t(type.bytes));
  return std::string(value.substr(0, value.find('\0')));
}

}  // namespace tw::h5
