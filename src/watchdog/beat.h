// What ranks tell each other beside MPI, one datagram each. All ranks are of one build (checked at start), so the bytes of
// these structs are the format. Small and fixed: what comes from the network is copied, checked for length and token, and
// nothing in it is an address, a length or an index that was not checked.
#pragma once
#include <array>
#include <cstdint>

#include "src/core/activity.h"

namespace tw {

using RunToken = std::array<uint64_t, 2>;  // random, of one run: datagrams of others are not ours

enum class MateState : uint8_t { unknown, runs, stopped, gone };  // stopped: by SIGSTOP or a debugger

struct BeatHeader {
  enum Kind : uint32_t { beat = 1, verdict = 2, done = 3 };  // done: stacks are written, this rank can be ended
  RunToken token{};
  uint32_t kind = 0;
  int32_t rank = -1;    // who sends
  uint64_t number = 0;  // grows; older ones that come late say nothing
};

// Every 0.25 s (many ranks: less often), from each rank to rank 0 and back. Seconds.
struct Beat {
  BeatHeader header;
  int64_t step = -1, collectives = 0, window = 0;
  float heard_ago = -1;    // since the receiver was last heard; -1 = never yet
  float idle = 0;          // since the main thread's last mark
  float excused = 0;       // of that, waiting for a core or for the disk
  float usual_step = 0;    // 0 = not known yet
  float own = 0;           // of a step of the last window, without waiting for others
  std::array<float, kWorkPhases> own_of{};
  char collective[15] = "";
  MateState mate_state = MateState::unknown;
  int32_t mate = -1;       // the next rank of this one's node, which it looks after
  uint8_t phase = 0, waiting = 0, leaving = 0;
};

struct Verdict {
  BeatHeader header;
  int32_t exit_code = 0, culprit = -1, link = 0;
  char reason[512] = "";
};

struct Done {
  BeatHeader header;
};

}  // namespace tw
