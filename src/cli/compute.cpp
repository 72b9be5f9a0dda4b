#include "src/cli/compute.h"

#include <algorithm>
#include <cstdlib>

#include "comm/gpu_communicator.h"
#include "comm/marked_communicator.h"
#include "comm/self.h"
#include "src/core/host.h"
#include "src/core/log.h"
#include "src/train/training_options.h"

namespace tw {
namespace {

// The first sentence of a rank that cannot, with its number; "" = all can. Collective.
std::string first_refusal(Communicator& world, const std::string& own) {
  const std::vector<std::string> all = all_gather_text(world, own);
  for (size_t r = 0; r < all.size(); ++r)
    if (!all[r].empty()) return world.size() == 1 ? all[r] : fmt::format("rank {}: {}", r, all[r]);
  return "";
}

// The GPU of this rank among those it sees. A launcher that binds one to each task shows each rank its own alone.
int own_index(Communicator& world, int count) {
  return count >= world.node_size() ? world.node_rank() : world.node_rank() % std::max(1, count);
}

std::unique_ptr<Communicator> device_communicator(Communicator& world, const Stream& stream, bool shared) {
  if (world.size() == 1) return make_self_communicator();  // nothing has to move, whatever `world` could carry
  // Ranks that give NCCL different names of hosts pass its check of GPUs that are named twice.
  const bool renamed = all_reduce_value(world, int64_t(std::getenv("NCCL_HOSTID") != nullptr), ReduceOp::min) != 0;
  const std::string why = shared && !renamed ? "ranks share a GPU, which NCCL does not allow" : first_refusal(world, nccl_absence());
  if (why.empty()) return std::make_unique<MarkedCommunicator>(make_nccl_communicator(world, stream));
  if (world.rank() == 0) log_warning("gradients go through host memory: {}", why);
  return std::make_unique<MarkedCommunicator>(make_staged_communicator(world, stream));
}

}  // namespace

Compute::Compute(const Config& config, Communicator& world, bool on_device)
    : world_(world), team_(resolve_threads(config, world.node_size())), stream_(team_) {
  const std::string wanted = config.get<std::string>("run.device");
  if (wanted == "cpu" || !on_device) return;
  const bool share = wanted == "cuda-shared";
  const std::string absent = first_refusal(world, gpu::absence());
  TW_CHECK(wanted == "auto" || absent.empty(), config, "run.device = \"{}\": {}", wanted, absent);
  if (!absent.empty()) return;

  const int index = own_index(world, gpu::count());
  const gpu::Properties own = gpu::properties(index);
  const std::vector<std::string> uuids = all_gather_text(world, own.uuid);
  const size_t me = size_t(world.rank());
  std::string twice;
  for (size_t a = 0; a < uuids.size() && twice.empty(); ++a)
    for (size_t b = a + 1; b < uuids.size() && twice.empty(); ++b)
      if (uuids[a] == uuids[b])
        twice = fmt::format("ranks {} and {} would share one GPU ({}): start one rank a GPU, or set run.device = \"cuda-shared\"", a, b, uuids[a]);
  if (!twice.empty() && !share) {
    TW_CHECK(wanted != "cuda", config, "run.device = \"cuda\": {}", twice);
    if (world.rank() == 0) log_warning("this runs on the CPU: {}", twice);
    return;
  }
  queue_ = gpu::Queue(Device{DeviceKind::cuda, index}, team_);
  stream_ = queue_.stream();
  if (std::find(uuids.begin(), uuids.begin() + std::ptrdiff_t(me), own.uuid) == uuids.begin() + std::ptrdiff_t(me)) gpus_ = {own.uuid};
  const auto lines = all_gather_text(world, fmt::format("rank {}: GPU {}, {} ({}), host {}", world.rank(), index, own.name, own.uuid, host_name()));
  for (const std::string& line : lines) map_ += (map_.empty() ? "" : "\n") + line;
  device_comm_ = device_communicator(world, stream_, !twice.empty());
}

}  // namespace tw
