// The parts of `doctor`. Each writes its section; none throws for what is missing on this machine. Parts that are not
// marked collective look at this node alone.
#pragma once
#include "comm/communicator.h"
#include "src/machine/comm_speed.h"
#include "src/machine/finding.h"
#include "src/machine/gpu_map.h"
#include "src/machine/surroundings.h"
#include "src/meter/energy.h"

namespace tw {

void check_program(Findings& out);                                 // this build, HDF5
void check_cpu(const Surroundings& here, int threads, Findings& out);  // threads: a rank would use
void check_memory(const Surroundings& here, Findings& out);
void check_gpus(const Surroundings& here, const GpuMap& map, Findings& out);  // driver, libraries, boards
void check_energy(const EnergyOptions& options, const GpuMap& map, Findings& out);
void check_network(const Surroundings& here, int nodes, Findings& out);
void check_slurm(const Surroundings& here, Findings& out);
void check_tools(const Surroundings& here, Findings& out);         // external programs
void check_system(const Surroundings& here, Findings& out);        // limits, locale, clock

// The folder of runs, its disk and HDF5's locks on it. test_bytes: written and read to measure it; 0 = not measured.
void check_storage(const Surroundings& here, int64_t test_bytes, Findings& out);

// Where ranks are, how they were started and what stands in their way. Collective; every rank's findings are equal.
// most_rows: of the table of ranks.
void check_ranks(const Surroundings& here, const GpuMap& map, Communicator& comm, int most_rows, Findings& out);
// Whether all nodes see one folder. Collective; nothing for one node.
void check_shared_folder(const Surroundings& here, Communicator& comm, Findings& out);
// Time and bandwidth between ranks. Collective; nothing for one rank. full: more pairs, larger messages.
void check_exchange(Communicator& comm, const Stream& stream, bool full, Findings& out);

// Hosts of the ranks, in rank order. Collective.
std::vector<std::string> hosts_of_ranks(Communicator& comm);

}  // namespace tw
