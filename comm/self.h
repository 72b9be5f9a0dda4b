// The communicator of a run of one rank. It works: no caller asks whether size() is 1.
#pragma once
#include "comm/communicator.h"

namespace tw {
// transport() is "self". Reductions leave the values, moves copy in to out. Send and recv have no
// peer and throw Error(bug); abort ends the process.
std::unique_ptr<Communicator> make_self_communicator();
}  // namespace tw
