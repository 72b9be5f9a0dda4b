// Named fault points: a test build can be told to die, fail, hang or damage memory at one of them.
//   TW_FAULT=POINT:RANK:N[:ACTION[:SEED]]   at the N-th pass (from 1) of POINT on RANK ('*' = any rank);
//   ACTION = kill (SIGKILL, default), error (throws Error(io)), stop (SIGSTOP), exit (exit code 70), loop (computes for
//   ever), sleep (sleeps for ever), slow (sleeps 50 ms, at each later pass too); where the point has memory:
//   flip (turns one bit around, which one follows from SEED, 0 if left out) or flips (so at each pass from the N-th on, each time another)
// Without -DTW_FAULT_POINTS=ON at configure time the calls are empty.
#pragma once
#include <string>

#include "src/core/tensor.h"

namespace tw {
#if defined(TW_FAULT_POINTS)
void fault_point(const char* name);
// A point that has memory, of `stream`'s device. kill, error, stop and exit do nothing here.
void fault_memory(const char* name, View memory, const Stream& stream);
// Instead of TW_FAULT from now on, passes counted anew; "" = none. Not while ranks run.
void set_fault(const std::string& text);
// What the last flip was: "POINT byte B bit K: OLD -> NEW"; "" = none since set_fault.
std::string last_flip();
long fault_passes();  // of the point that was set, so far
#else
inline void fault_point(const char*) {}
inline void fault_memory(const char*, const View&, const Stream&) {}
#endif
}  // namespace tw
