#include "src/core/arena.h"

#include <algorithm>

#include "src/core/format.h"

namespace tw {
namespace {
size_t padded(size_t bytes) { return (bytes + 255) / 256 * 256; }
size_t block_bytes(const Shape& shape, DType dtype) { return size_t(shape.count()) * size_of(dtype); }
}  // namespace

int ArenaPlan::add(std::string group, std::string name, Shape shape, DType dtype) {
  regions_.push_back({group, "", block_bytes(shape, dtype)});
  blocks_.push_back({std::move(group), std::move(name), shape, dtype, int(regions_.size()) - 1});
  return int(blocks_.size()) - 1;
}

int ArenaPlan::add_shared(std::string group, std::string slot, std::string name, Shape shape, DType dtype) {
  auto it = std::find_if(regions_.begin(), regions_.end(), [&](const Region& r) { return r.slot == slot; });
  if (it == regions_.end()) it = regions_.insert(regions_.end(), {group, slot, 0});
  it->bytes = std::max(it->bytes, block_bytes(shape, dtype));
  blocks_.push_back({std::move(group), std::move(name), shape, dtype, int(it - regions_.begin())});
  return int(blocks_.size()) - 1;
}

size_t ArenaPlan::bytes() const noexcept {
  size_t sum = 0;
  for (const Region& r : regions_) sum += padded(r.bytes);
  return sum;
}

size_t ArenaPlan::bytes_of(const std::string& group) const noexcept {
  size_t sum = 0;
  for (const Region& r : regions_)
    if (r.group == group) sum += padded(r.bytes);
  return sum;
}

std::string ArenaPlan::table() const {
  std::vector<std::string> groups;
  for (const Region& r : regions_)
    if (std::find(groups.begin(), groups.end(), r.group) == groups.end()) groups.push_back(r.group);
  std::string text;
  for (const std::string& g : groups) text += fmt::format("  {:<24} {:>12}\n", g, human_bytes(bytes_of(g)));
  return text + fmt::format("  {:<24} {:>12}\n", "arena", human_bytes(bytes()));
}

Arena::Arena(const ArenaPlan& plan, Device device) : memory_(plan.bytes(), device) {
  std::vector<size_t> offsets;
  size_t offset = 0;
  for (const auto& r : plan.regions_) {
    offsets.push_back(offset);
    offset += padded(r.bytes);
  }
  for (const auto& b : plan.blocks_)
    views_.emplace_back(static_cast<char*>(memory_.data()) + offsets[size_t(b.region)], b.dtype, b.shape, device);
}

View Arena::view(int id) const {
  TW_CHECK(id >= 0 && size_t(id) < views_.size(), bug, "arena has no block {}", id);
  return views_[size_t(id)];
}

}  // namespace tw
