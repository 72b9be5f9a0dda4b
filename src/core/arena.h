// All activation, gradient and optimiser memory is laid out before step 1, then allocated at once.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "src/core/tensor.h"

namespace tw {

// First pass: name what is needed. `plan` and `train` share this code, so what plan prints is what
// train allocates.
class ArenaPlan {
 public:
  // A block of its own. `group` is the row of the printed table ("weights", "activations", ...).
  int add(std::string group, std::string name, Shape shape, DType dtype);
  // Scratch that lives only within one op sequence: blocks of equal `slot` share memory.
  int add_shared(std::string group, std::string slot, std::string name, Shape shape, DType dtype);
  size_t bytes() const noexcept;                        // of the whole arena
  size_t bytes_of(const std::string& group) const noexcept;
  std::string table() const;                            // bytes by group, for people

 private:
  friend class Arena;
  struct Block {
    std::string group, name;
    Shape shape;
    DType dtype;
    int region;  // index into regions_
  };
  struct Region {
    std::string group, slot;
    size_t bytes = 0;
  };
  std::vector<Block> blocks_;
  std::vector<Region> regions_;
};

// Second pass: one allocation; view(id) gives the block that add returned `id` for. Regions start
// at multiples of 256 bytes.
class Arena {
 public:
  Arena() = default;
  Arena(const ArenaPlan& plan, Device device);
  View view(int id) const;
  size_t bytes() const noexcept { return memory_.bytes(); }

 private:
  Memory memory_;
  std::vector<View> views_;
};

}  // namespace tw
