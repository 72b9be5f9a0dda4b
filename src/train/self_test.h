// Before a rank trains: whether its device computes and its exchanges arrive. Products, sums and an update on small whole numbers, whose
// results floats hold exactly, against the same in integers; then an all-to-all and a gather of known words. Exact, so there are no golden
// numbers of a machine. Some 10 ms.
#pragma once
#include "comm/communicator.h"

namespace tw {

// Collective. Error(corruption) on every rank alike, naming each rank and host that failed and at what.
void self_test(Communicator& comm, const Stream& stream);

}  // namespace tw
