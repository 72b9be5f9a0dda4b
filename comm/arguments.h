// What every transport refuses, in the same words. All throw Error(bug) naming the call, the
// transport and what was given. `call` is the name of the communicator's function.
#pragma once
#include "comm/communicator.h"

namespace tw {

// Host memory: what self, threads and MPI can carry.
void check_host(const Communicator& comm, const char* call, ConstView view);
// fp32, fp64, i32 or i64.
void check_reducible(const Communicator& comm, const char* call, ConstView view);
// many holds size() parts as long as part, of equal dtype; no memory is shared.
void check_parts(const Communicator& comm, const char* call, ConstView part, ConstView many);
// As check_parts, but part may be this rank's part of many: then the result is true.
bool check_all_gather(const Communicator& comm, const char* call, ConstView part, ConstView many);
// Equal dtype and count, a multiple of size(); no memory is shared.
void check_all_to_all(const Communicator& comm, const char* call, ConstView in, ConstView out);
void check_root(const Communicator& comm, const char* call, int root);
// Another rank, and a tag within 0 ... 32767 (what MPI promises at least).
void check_peer(const Communicator& comm, const char* call, int peer, int tag);
void check_color(const Communicator& comm, int color);

}  // namespace tw
