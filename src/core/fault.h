// Named fault points: a test build can be told to die or fail at one of them.
//   TW_FAULT=POINT:RANK:N[:ACTION]   at the N-th pass (from 1) of POINT on RANK ('*' = any rank);
//   ACTION = kill (SIGKILL, default), error (throws Error(io)), stop (SIGSTOP), exit (exit code 70), loop (computes for
//   ever), sleep (sleeps for ever), slow (sleeps 50 ms, at each later pass too)
// Without -DTW_FAULT_POINTS=ON at configure time the calls are empty.
#pragma once

namespace tw {
#if defined(TW_FAULT_POINTS)
void fault_point(const char* name);
#else
inline void fault_point(const char*) {}
#endif
}  // namespace tw
