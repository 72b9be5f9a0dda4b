// The parts of comm/mpi.h that its two source files share.
#pragma once
#include <memory>
#include <source_location>

#include "comm/communicator.h"

namespace tw {

// A duplicate of MPI_COMM_WORLD.
std::unique_ptr<Communicator> make_mpi_communicator(size_t message_bytes);

// Throws where code is not MPI_SUCCESS, with MPI's own text: Error(bug) for a fault of the caller
// (count, type, rank, truncation ...), Error(peer_lost) for the rest.
void check_mpi(int code, const char* expression, std::source_location where);
bool mpi_is_running() noexcept;  // initialised and not finalised

}  // namespace tw

#define TW_MPI_CHECK(call) ::tw::check_mpi((call), #call, std::source_location::current())
