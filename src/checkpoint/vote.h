// How ranks agree on success: what one rank says is seen by all, and a failure of one is thrown by all.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "src/core/error.h"

namespace tw {

// The outcome of one rank's part.
struct Vote {
  ExitCode code = ExitCode::ok;
  std::string text;  // the result, or the error's message
  bool ok() const noexcept { return code == ExitCode::ok; }
};

// Runs `part`; what it throws becomes a "no".
Vote cast_vote(const std::function<std::string()>& part) noexcept;
// Collective. The votes of all ranks in rank order. Ranks that are early wait asleep: those that still write need the
// cores. given_up: where it becomes true meanwhile, the wait ends with Error(peer_lost).
std::vector<Vote> gather_votes(Communicator& comm, const Vote& vote, const std::atomic<bool>* given_up = nullptr);
// Throws the first "no" on every rank alike, naming the rank where there are several.
void require_all(const std::vector<Vote>& votes);
// Collective. Rank 0's vote (others' are not read): its text on every rank, or its error thrown by every rank. Waits as
// gather_votes does.
std::string decide(Communicator& comm, const Vote& vote, const std::atomic<bool>* given_up = nullptr);

}  // namespace tw
