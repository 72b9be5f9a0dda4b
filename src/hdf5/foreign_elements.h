// Elements and attributes of HDF5 files of others, as their tables are made of: what of a type can be read, and how.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/hdf5/foreign_tables.h"
#include "src/hdf5/h5.h"

namespace tw::h5 {

inline constexpr size_t kLongestName = 256, kLongestString = 1024;
inline constexpr size_t kMostMessage = size_t(16) << 20;  // bytes that go out of the sandbox at once

std::string shown(std::string_view name);  // UTF-8, at most kLongestName bytes of it

// One field of an element.
struct Leaf {
  enum class Kind : uint8_t { whole, natural, real32, real64, text, pointer, choice };
  std::string name;  // within the element: "" = it is the element
  size_t at = 0, bytes = 0;
  Kind kind = Kind::whole;
  bool negative = false;                                // of choices: their numbers have a sign
  std::vector<std::pair<int64_t, std::string>> choices;  // by number
  bool words() const noexcept { return kind == Kind::text || kind == Kind::pointer || (kind == Kind::choice && !choices.empty()); }
};

// The type in memory of an element and its fields, from byte `base` of the element on; invalid where nothing of it can be used.
Datatype memory_type(hid_t type, const std::string& name, size_t base, int depth, std::vector<Leaf>& leaves);

// An attribute that is one number; nothing where it is none. decimal: one of 32 bits is what its shortest decimals say, 0.1 and not 0.10000000149.
std::optional<double> number_attribute(hid_t object, const char* name, bool decimal = false);
// An attribute's texts, at most kMostTableColumns; one text with commas is as many.
std::vector<std::string> text_attribute(hid_t object, const char* name);

}  // namespace tw::h5
