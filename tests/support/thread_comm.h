// N ranks as threads of one process: collectives without MPI, with every misuse found.
#pragma once
#include <chrono>
#include <functional>

#include "comm/communicator.h"

namespace tw {

// Calls body on `ranks` threads, each with its communicator (transport "threads") and its log rank.
// A call is a real rendezvous: it returns after every rank has come.
//  - Ranks that call different collectives, or with other sizes, dtypes, roots or ops, all get
//    Error(bug) that names both.
//  - When a rank throws, ranks that wait for it, now or later, get Error(peer_lost); so do those
//    that wait for a rank whose body has returned. When all have ended, the exception of the rank
//    that failed first is thrown.
//  - A wait longer than `limit` throws Error(hang) that names the ranks waited for.
//  - abort(code) throws Error(code) on its rank.
void run_ranks(int ranks, const std::function<void(Communicator&)>& body,
               std::chrono::milliseconds limit = std::chrono::seconds(60));

}  // namespace tw
