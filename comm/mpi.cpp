#include "comm/mpi.h"

#include <mpi.h>
#include <signal.h>
#include <sys/prctl.h>

#include <cstdlib>
#include <exception>
#include <string_view>

#include "comm/mpi_communicator.h"
#include "src/core/log.h"

namespace tw {
namespace {

// Ranks of one host use shared memory whatever the networks are, and a start that does not ask for those (UCX, libfabric) is 0.2 s
// shorter. What --mca, the environment or a launcher has set stays.
void pass_over_networks() {
  const char *all = std::getenv("OMPI_COMM_WORLD_SIZE"), *here = std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (all && here && std::string_view(all) == here) ::setenv("OMPI_MCA_pml", "ob1", 0);
}

}  // namespace

MpiSession::MpiSession(int& argc, char**& argv) : exceptions_at_start_(std::uncaught_exceptions()) {
  if (launched_by_mpi()) ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  int initialised = 0, provided = MPI_THREAD_SINGLE;
  TW_MPI_CHECK(MPI_Initialized(&initialised));
  TW_CHECK(!initialised, bug, "MPI was initialised before MpiSession");
  pass_over_networks();
  TW_MPI_CHECK(MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided));
  TW_MPI_CHECK(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  TW_CHECK(provided >= MPI_THREAD_MULTIPLE, config,
           "this MPI library gives thread level {}, MPI_THREAD_MULTIPLE ({}) is needed: use one built with it",
           provided, int(MPI_THREAD_MULTIPLE));
}

MpiSession::~MpiSession() {
  if (!mpi_is_running() || std::uncaught_exceptions() > exceptions_at_start_) return;
  const int code = MPI_Finalize();
  if (code != MPI_SUCCESS) log_warning("MPI_Finalize failed with code {}", code);
}

bool MpiSession::launched_by_mpi() noexcept {
  // Slurm's own variables are no sign: a batch shell has them too, and under mpirun they are those
  // of its daemon.
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr || std::getenv("PMIX_RANK") != nullptr;
}

void MpiSession::refuse_unconnected_tasks() {
  // Set for the tasks of srun alone; a batch shell has none.
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  TW_CHECK(tasks == nullptr || std::atoi(tasks) <= 1 || launched_by_mpi(), config,
           "srun started {} tasks without MPI (no PMIX_RANK), so each would be a run of its own: start with "
           "srun --mpi=pmix, or with mpirun inside the job",
           tasks);
}

std::string MpiSession::library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  TW_MPI_CHECK(MPI_Get_library_version(text, &length));
  const std::string all(text, size_t(length));
  return all.substr(0, all.find_first_of(",\n"));
}

std::unique_ptr<Communicator> MpiSession::world(size_t message_bytes) {
  return make_mpi_communicator(message_bytes);
}

}  // namespace tw
