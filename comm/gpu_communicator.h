// Communicators for memory of GPUs, over one for host memory. What lies on the host goes through that one.
#pragma once
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace tw {

// Why NCCL cannot be used by this process, one sentence; "" = it can.
std::string nccl_absence();

// By NCCL, on a stream of its own. stream: of this rank's GPU, its team outlives the communicator, as `host` does.
// Collective over host. Error(config) where NCCL is missing or two ranks have one GPU; every call throws Error(peer_lost)
// once NCCL reports that a peer is gone, after it was aborted, so that nothing hangs. transport() is "nccl".
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, const Stream& stream);

// Through host memory: copied to pinned buffers, sent by `host`, copied back, beside the ops of `stream`. For GPUs that ranks
// share, or where there is no NCCL. transport() is "<host's> through host memory".
std::unique_ptr<Communicator> make_staged_communicator(Communicator& host, const Stream& stream);

}  // namespace tw
