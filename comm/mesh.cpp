#include "comm/mesh.h"

#include "comm/self.h"

namespace tw {
namespace {

std::array<int, kAxes> in_order(const MeshSizes& s) {
  return {s.tensor, s.context, s.expert, s.data, s.pipeline};
}

}  // namespace

MeshSizes resolve_mesh(const MeshSizes& sizes, int ranks) {
  constexpr std::array<const char*, kAxes> kNames = {"tensor", "context", "expert", "data", "pipeline"};
  MeshSizes resolved = sizes;
  if (sizes.data == -1) resolved.data = 1;
  const std::array<int, kAxes> extents = in_order(resolved);
  int64_t product = 1;
  for (size_t a = 0; a < kAxes; ++a) {
    TW_CHECK(extents[a] >= 1, config, "{}_parallel_size is {}: it must be 1 or more{}", kNames[a], extents[a],
             a == size_t(Axis::data) ? ", or -1 for as many as are left" : "");
    // Stop before five large sizes can overflow; any such product is more than the ranks.
    if (product <= ranks) product *= extents[a];
  }
  const std::string others = fmt::format("pipeline {} x context {} x tensor {} x expert {}", resolved.pipeline,
                                         resolved.context, resolved.tensor, resolved.expert);
  if (sizes.data == -1) {
    TW_CHECK(product <= ranks && ranks % product == 0, config,
             "{} ranks cannot be divided into groups of {}: start a multiple of that, or change the parallel sizes",
             ranks, others);
    resolved.data = int(ranks / product);
    return resolved;
  }
  TW_CHECK(product == ranks, config,
           "data {} x {} is not the number of ranks, {}: start as many ranks as the product, or set "
           "data_parallel_size to -1",
           resolved.data, others, ranks);
  return resolved;
}

Mesh::Mesh(Communicator& world, const MeshSizes& sizes) : world_(&world), sizes_(resolve_mesh(sizes, world.size())) {
  const std::array<int, kAxes> extents = in_order(sizes_);
  int stride = 1;
  for (size_t a = 0; a < kAxes; ++a) {
    const int place = world.rank() / stride % extents[a];
    // The lowest rank of a group names it: this rank's, with the axis' coordinate taken out.
    axes_[a] = extents[a] == 1 ? make_self_communicator() : world.split(world.rank() - place * stride, place);
    stride *= extents[a];
  }
}

std::string Mesh::str() const {
  return fmt::format("dp {} x pp {} x cp {} x tp {} x ep {}", sizes_.data, sizes_.pipeline, sizes_.context,
                     sizes_.tensor, sizes_.expert);
}

}  // namespace tw
