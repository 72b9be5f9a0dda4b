// MPI's life in a process, and the communicator over it.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace tw {

// Longest message between two ranks; longer buffers travel in several. MPI counts are ints, and on
// one node messages of 1 to 4 MiB are the fastest.
inline constexpr size_t kMpiMessageBytes = size_t(4) << 20;

// Made once, in main, and outlives every communicator it gave:
//   MpiSession session(argc, argv);
//   auto world = session.world();
//   try { return run(*world); } catch (const Error& e) { log...; world->abort(int(e.code())); }
class MpiSession {
 public:
  // MPI_Init_thread; from then on the process ends with its launcher, so that no orphan writes beside a job that was
  // started again (Linux). Throws Error(config) where the library gives no MPI_THREAD_MULTIPLE,
  // Error(bug) where MPI was initialised before.
  MpiSession(int& argc, char**& argv);
  // MPI_Finalize, except while an exception unwinds: a peer may then wait where nobody comes.
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;

  // True where mpirun or srun --mpi=pmix started this process. Reads the environment alone, so a
  // plain start pays nothing for MPI.
  static bool launched_by_mpi() noexcept;
  // Throws Error(config) where srun started several tasks that cannot find each other (no PMIx):
  // each would take itself for the only rank of the run and write into the same folder.
  static void refuse_unconnected_tasks();

  // "Open MPI v4.1.4", as the library names itself; needs no session.
  static std::string library_version();

  // A duplicate of MPI_COMM_WORLD; collective. transport() is "mpi". Moves take any dtype, host
  // memory only. reduce_scatter adds in rank order. message_bytes: 8 bytes to 1 GiB.
  std::unique_ptr<Communicator> world(size_t message_bytes = kMpiMessageBytes);

 private:
  int exceptions_at_start_;
};

}  // namespace tw
