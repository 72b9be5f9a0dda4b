// Where a rank computes: its threads, and by run.device its GPU.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "src/config/load.h"
#include "src/core/gpu.h"
#include "src/core/thread_team.h"

namespace tw {

class Compute {
 public:
  // world: the ranks that compute together; collective over it. Error(config), on every rank alike and with the rank's
  // number and the reason, where run.device = "cuda" and a rank has no GPU, or two share one without "cuda-shared".
  // on_device = false: by the host alone, whatever run.device says.
  Compute(const Config& config, Communicator& world, bool on_device = true);

  ThreadTeam& team() noexcept { return team_; }
  const Stream& stream() const noexcept { return stream_; }
  // For memory of the stream's device, and for the host's.
  Communicator& comm() const noexcept { return device_comm_ ? *device_comm_ : world_; }
  // UUIDs of the GPUs whose joules this rank reads: of ranks that share one, the first names it.
  const std::vector<std::string>& gpus() const noexcept { return gpus_; }
  // For people, a line a rank: "rank 0: GPU 0, NVIDIA H200 (GPU-...), host n1"; "" on the CPU.
  const std::string& map() const noexcept { return map_; }

 private:
  Communicator& world_;
  ThreadTeam team_;
  gpu::Queue queue_;
  Stream stream_;
  std::unique_ptr<Communicator> device_comm_;
  std::vector<std::string> gpus_;
  std::string map_;
};

}  // namespace tw
