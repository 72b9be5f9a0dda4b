#include "src/hdf5/foreign_elements.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "src/core/utf8.h"

namespace tw::h5 {
namespace {

constexpr int kDeepest = 8;  // records within records

std::string joined(const std::string& a, const std::string& b) { return a.empty() ? b : b.empty() ? a : a + "." + b; }

std::vector<std::pair<int64_t, std::string>> choices_of(hid_t type, size_t bytes, bool negative) {
  std::vector<std::pair<int64_t, std::string>> all;
  const int n = H5Tget_nmembers(type);
  for (int i = 0; i < n && i < int(kMostTableColumns); ++i) {
    uint64_t raw = 0;
    char* name = H5Tget_member_name(type, unsigned(i));
    if (!name || H5Tget_member_value(type, unsigned(i), &raw) < 0) continue;
    const unsigned unused = unsigned(64 - 8 * bytes);
    all.emplace_back(negative ? int64_t(raw << unused) >> unused : int64_t(raw), shown(name));
    H5free_memory(name);
  }
  std::sort(all.begin(), all.end());
  // As h5py writes truth values.
  if (all.size() == 2 && all[0] == std::pair(int64_t(0), std::string("FALSE")) && all[1] == std::pair(int64_t(1), std::string("TRUE"))) all.clear();
  return all;
}

}  // namespace

std::string shown(std::string_view name) { return repaired_utf8(name.substr(0, kLongestName)); }

Datatype memory_type(hid_t type, const std::string& name, size_t base, int depth, std::vector<Leaf>& leaves) {
  const auto one = [&](hid_t memory, size_t bytes, Leaf::Kind kind) {
    leaves.push_back({.name = name, .at = base, .bytes = bytes, .kind = kind});
    return Datatype(check(H5Tcopy(memory), "type"));
  };
  const size_t size = H5Tget_size(type);
  if (size == 0 || depth > kDeepest || leaves.size() > kMostTableColumns) return {};
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      if (size > 8) return {};
      return H5Tget_sign(type) == H5T_SGN_NONE ? one(H5T_NATIVE_UINT64, 8, Leaf::Kind::natural) : one(H5T_NATIVE_INT64, 8, Leaf::Kind::whole);
    case H5T_FLOAT: return one(H5T_NATIVE_DOUBLE, 8, size <= 4 ? Leaf::Kind::real32 : Leaf::Kind::real64);
    case H5T_STRING:
      if (H5Tis_variable_str(type) > 0) return one(type, sizeof(char*), Leaf::Kind::pointer);
      return size <= kLongestString ? one(type, size, Leaf::Kind::text) : Datatype();
    case H5T_ENUM: {
      Datatype native(H5Tget_native_type(type, H5T_DIR_ASCEND));
      if (!native) return {};
      const Datatype number(H5Tget_super(native.get()));
      const size_t bytes = H5Tget_size(native.get());
      if (!number || bytes > 8 || H5Tget_class(number.get()) != H5T_INTEGER) return {};
      const bool negative = H5Tget_sign(number.get()) != H5T_SGN_NONE;
      leaves.push_back({.name = name, .at = base, .bytes = bytes, .kind = Leaf::Kind::choice, .negative = negative, .choices = choices_of(native.get(), bytes, negative)});
      return native;
    }
    case H5T_ARRAY: {
      const int rank = H5Tget_array_ndims(type);
      hsize_t sides[H5S_MAX_RANK] = {};
      if (rank < 1 || rank > H5S_MAX_RANK || H5Tget_array_dims2(type, sides) != rank) return {};
      size_t n = 1;
      for (int i = 0; i < rank; ++i) {
        if (sides[i] == 0 || sides[i] > kMostTableColumns / n) return {};
        n *= size_t(sides[i]);
      }
      const Datatype element(H5Tget_super(type));
      std::vector<Leaf> each;
      if (!element) return {};
      const Datatype memory = memory_type(element.get(), "", 0, depth + 1, each);
      if (!memory || leaves.size() + each.size() * n > kMostTableColumns) return {};
      for (size_t i = 0; i < n; ++i)
        for (Leaf leaf : each) {
          leaf.at += base + i * H5Tget_size(memory.get());
          leaf.name = joined(name + fmt::format(" {}", i + 1), leaf.name);
          leaves.push_back(std::move(leaf));
        }
      return Datatype(check(H5Tarray_create2(memory.get(), unsigned(rank), sides), "array"));
    }
    case H5T_COMPOUND: {
      const int members = H5Tget_nmembers(type);
      std::vector<std::pair<std::string, Datatype>> kept;
      size_t bytes = 0;
      for (int m = 0; m < members && m < int(kMostTableColumns); ++m) {
        char* text = H5Tget_member_name(type, unsigned(m));
        const std::string member = text ? text : "";
        H5free_memory(text);
        const Datatype inner(H5Tget_member_type(type, unsigned(m)));
        if (!inner) continue;
        const size_t before = leaves.size();
        Datatype memory = memory_type(inner.get(), joined(name, shown(member)), base + bytes, depth + 1, leaves);
        if (!memory) leaves.resize(before);
        else bytes += H5Tget_size(memory.get()), kept.emplace_back(member, std::move(memory));
      }
      if (kept.empty()) return {};
      Datatype all(check(H5Tcreate(H5T_COMPOUND, bytes), "record"));
      size_t at = 0;
      for (const auto& [member, memory] : kept) {
        check(H5Tinsert(all.get(), member.c_str(), at, memory.get()), "member");
        at += H5Tget_size(memory.get());
      }
      return all;
    }
    default: return {};
  }
}

std::optional<double> number_attribute(hid_t object, const char* name, bool decimal) {
  if (H5Aexists(object, name) <= 0) return std::nullopt;
  const Attribute attribute(H5Aopen(object, name, H5P_DEFAULT));
  if (!attribute) return std::nullopt;
  const Dataspace space(H5Aget_space(attribute.get()));
  const Datatype type(H5Aget_type(attribute.get()));
  if (!space || !type || H5Sget_simple_extent_npoints(space.get()) != 1) return std::nullopt;
  const H5T_class_t kind = H5Tget_class(type.get());
  double value = 0;
  if ((kind != H5T_INTEGER && kind != H5T_FLOAT) || H5Aread(attribute.get(), H5T_NATIVE_DOUBLE, &value) < 0) return std::nullopt;
  if (decimal && kind == H5T_FLOAT && H5Tget_size(type.get()) <= 4 && std::isfinite(value)) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, float(value)).ptr;
    std::from_chars(text, end, value);
  }
  return value;
}

std::vector<std::string> text_attribute(hid_t object, const char* name) {
  std::vector<std::string> texts;
  if (H5Aexists(object, name) <= 0) return texts;
  const Attribute attribute(H5Aopen(object, name, H5P_DEFAULT));
  if (!attribute) return texts;
  const Dataspace space(H5Aget_space(attribute.get()));
  const Datatype type(H5Aget_type(attribute.get()));
  const hssize_t n = space ? H5Sget_simple_extent_npoints(space.get()) : 0;
  if (!type || H5Tget_class(type.get()) != H5T_STRING || n < 1 || n > hssize_t(kMostTableColumns)) return texts;
  if (H5Tis_variable_str(type.get()) > 0) {
    std::vector<char*> pointers(size_t(n), nullptr);
    if (H5Aread(attribute.get(), type.get(), pointers.data()) < 0) return texts;
    for (const char* p : pointers) texts.emplace_back(p ? std::string(p, ::strnlen(p, n == 1 ? kMostMessage : kLongestName)) : "");
    H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, pointers.data());
  } else {
    const size_t size = H5Tget_size(type.get());
    if (size == 0 || size > (n == 1 ? kMostMessage : kLongestString)) return texts;
    std::string all(size * size_t(n), '\0');
    if (H5Aread(attribute.get(), type.get(), all.data()) < 0) return texts;
    for (size_t i = 0; i < size_t(n); ++i) texts.emplace_back(all.data() + i * size, ::strnlen(all.data() + i * size, size));
  }
  if (texts.size() > 1 || texts[0].find(',') == std::string::npos) return texts;
  const std::string list = std::exchange(texts, {})[0];
  for (size_t begin = 0; begin <= list.size() && texts.size() <= kMostTableColumns;) {
    const size_t end = std::min(list.find(',', begin), list.size());
    texts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return texts;
}

}  // namespace tw::h5
