#include "src/checkpoint/vote.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <filesystem>
#include <new>
#include <thread>

namespace tw {
namespace {

// "74\nmessage"
std::string encode(const Vote& vote) { return std::to_string(int(vote.code)) + "\n" + vote.text; }
Vote decode(const std::string& text) {
  const size_t end = text.find('\n');
  TW_CHECK(end != std::string::npos && end > 0 && end < 4, bug, "a rank sent a vote of {} bytes that is none",
           text.size());
  return {ExitCode(std::stoi(text.substr(0, end))), text.substr(end + 1)};
}

// Returns when every rank has come.
void meet(Communicator& comm, const std::atomic<bool>* given_up) {
  using namespace std::chrono_literals;
  int64_t here = 1;
  const Pending all = comm.start_all_reduce({&here, DType::i64, {1}}, ReduceOp::sum, Stream(Device{}, nullptr));
  for (std::chrono::microseconds pause = 20us; !all->test(); pause = std::min<std::chrono::microseconds>(2 * pause, 2ms)) {
    TW_CHECK(!given_up || !*given_up, peer_lost, "the save was given up");
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

Vote cast_vote(const std::function<std::string()>& part) noexcept {
  try {
    return {ExitCode::ok, part()};
  } catch (const Error& e) {
    return {e.code(), e.what()};
  } catch (const std::bad_alloc&) {
    return {ExitCode::io, "out of memory"};
  } catch (const std::filesystem::filesystem_error& e) {
    return {ExitCode::io, e.what()};
  } catch (const std::exception& e) {
    return {ExitCode::bug, e.what()};
  } catch (...) {
    return {ExitCode::bug, "unknown exception"};
  }
}

std::vector<Vote> gather_votes(Communicator& comm, const Vote& vote, const std::atomic<bool>* given_up) {
  meet(comm, given_up);
  std::vector<Vote> votes;
  for (const std::string& text : all_gather_text(comm, encode(vote))) votes.push_back(decode(text));
  return votes;
}

void require_all(const std::vector<Vote>& votes) {
  for (size_t rank = 0; rank < votes.size(); ++rank)
    if (!votes[rank].ok())
      throw Error(votes[rank].code,
                  votes.size() == 1 ? votes[rank].text : "rank " + std::to_string(rank) + ": " + votes[rank].text);
}

std::string decide(Communicator& comm, const Vote& vote, const std::atomic<bool>* given_up) {
  meet(comm, given_up);
  const Vote decision = decode(broadcast_text(comm, encode(vote), 0));
  if (!decision.ok()) throw Error(decision.code, decision.text);
  return decision.text;
}

}  // namespace tw
