// Of a build without CUDA.
#include "comm/gpu_communicator.h"
#include "src/core/gpu.h"

namespace tw {
std::string nccl_absence() { return gpu::absence(); }
std::unique_ptr<Communicator> make_nccl_communicator(Communicator&, const Stream&) { TW_FAIL(config, "{}", gpu::absence()); }
}  // namespace tw
