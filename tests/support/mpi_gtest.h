// Tests under mpirun: link tw_mpi_gtest_main, which starts MPI before the tests and ends with the
// largest code of all ranks. Every rank runs the same tests in the same order. An ASSERT that fails
// or an exception on one rank ends all of them at once, since its peers would wait for ever.
//   --hang-rank N      rank N prints its process id and waits for a debugger (set `go` to 1)
//   TW_REQUIRE_MPI=1   a start without mpirun fails instead of being skipped
#pragma once
#include "comm/mpi.h"

namespace tw {
MpiSession& mpi_session();  // the session of main
}  // namespace tw
