// The layout of a run: which rank works with which others, and on what.
#pragma once
#include <array>
#include <memory>

#include "comm/communicator.h"

namespace tw {

enum class Axis { tensor, context, expert, data, pipeline };  // fastest first
inline constexpr int kAxes = 5;

struct MeshSizes {
  int tensor = 1, context = 1, expert = 1;
  int data = -1;  // -1: as many as the other sizes leave
  int pipeline = 1;
  bool operator==(const MeshSizes&) const = default;
};

// The sizes with `data` filled in. Throws Error(config) with the numbers where a size is not
// positive or the product is not `ranks`.
MeshSizes resolve_mesh(const MeshSizes& sizes, int ranks);

// World rank = ((((pipeline * D + data) * E + expert) * C + context) * T + tensor, so that the
// ranks that talk most (tensor) are neighbours and share a node.
class Mesh {
 public:
  // Collective over world, which must outlive the mesh. Throws as resolve_mesh.
  Mesh(Communicator& world, const MeshSizes& sizes);

  Communicator& world() const noexcept { return *world_; }
  // The ranks that differ from this one in that axis alone, ordered by it; never null, of size 1
  // where the axis is not used.
  Communicator& axis(Axis axis) const noexcept { return *axes_[size_t(axis)]; }
  Communicator& tensor() const noexcept { return axis(Axis::tensor); }
  Communicator& context() const noexcept { return axis(Axis::context); }
  Communicator& expert() const noexcept { return axis(Axis::expert); }
  Communicator& data() const noexcept { return axis(Axis::data); }
  Communicator& pipeline() const noexcept { return axis(Axis::pipeline); }
  const MeshSizes& sizes() const noexcept { return sizes_; }
  std::string str() const;  // "dp 2 x pp 1 x cp 1 x tp 4 x ep 1"

 private:
  Communicator* world_;
  MeshSizes sizes_;
  std::array<std::unique_ptr<Communicator>, kAxes> axes_;
};

}  // namespace tw
