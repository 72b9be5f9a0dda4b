#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "comm/mpi.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/hash.h"
#include "src/core/host.h"
#include "src/machine/checks.h"
#include "src/machine/kernel_files.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

// What a rank says of itself.
struct Seat {
  std::string host, program, gpu;
  std::vector<int> cpus;
  int node_rank = 0, node_size = 1, present = 0;
  double clock = 0;
};

std::string program_sum() {
  try {
    const MappedFile program("/proc/self/exe");
    return hex(Xxh3().update(program.data(), program.size()).value());
  } catch (const Error&) {
    return "";  // not on Linux
  }
}

std::vector<Seat> seats_of(const Surroundings& here, const GpuMap& map, Communicator& comm) {
  const std::vector<int> boards = visible_boards(map, here.environment("CUDA_VISIBLE_DEVICES"));
  const size_t place = size_t(comm.node_rank());
  const int present = int(parse_cpu_list(kernel_text(here.root / "sys/devices/system/cpu/online")).size());
  comm.barrier();
  const nlohmann::json mine = {{"host", host_name()}, {"program", program_sum()}, {"cpus", here.cpus}, {"node_rank", comm.node_rank()}, {"node_size", comm.node_size()},
                               {"present", present}, {"clock", unix_seconds()},
                               // One GPU each, in the order of the ranks of a node.
                               {"gpu", boards.empty() ? "" : place < boards.size() ? std::to_string(map.boards[size_t(boards[place])].index) : "none left"}};
  std::vector<Seat> seats;
  for (const std::string& text : all_gather_text(comm, mine.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))) {
    const auto j = nlohmann::json::parse(text);
    seats.push_back({j["host"], j["program"], j["gpu"], j["cpus"], j["node_rank"], j["node_size"], j["present"], j["clock"]});
  }
  return seats;
}

void check_launch(const Surroundings& here, Communicator& comm, Findings& out) {
  const std::string version = MpiSession::library_version();
  out.ok("library", version).values = {{"version", version}};
  const bool mpirun = !here.environment("OMPI_COMM_WORLD_SIZE").empty(), pmix = !here.environment("PMIX_RANK").empty();
  const fs::path program = find_program(here, "mpirun");
  if (mpirun) out.ok("started by", fmt::format("mpirun, {} ranks", comm.size()));
  else if (pmix) out.ok("started by", fmt::format("srun --mpi=pmix, {} ranks", comm.size()));
  else if (program.empty()) out.note("started by", "hand, one rank; mpirun is not in PATH, so there can be no more", "sudo apt-get install openmpi-bin");
  else out.ok("started by", fmt::format("hand, one rank; {} starts more", program.string()));

  const bool root_allowed = !here.environment("OMPI_ALLOW_RUN_AS_ROOT").empty() && !here.environment("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM").empty();
  if (here.superuser && !mpirun && !pmix && !program.empty() && !root_allowed)
    out.note("root", "mpirun refuses to start for root", "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1");
  const std::string policy = here.environment("OMPI_MCA_hwloc_base_binding_policy");
  if (!mpirun && !pmix && !program.empty() && policy != "none")
    out.note("binding", "mpirun puts all threads of 1 or 2 ranks on one core each, unless it is told not to (launch/run does)",
             "export OMPI_MCA_hwloc_base_binding_policy=none");
}

// Ranks of one node exchange through files in /dev/shm.
void check_shared_memory(const Surroundings& here, Communicator& comm, Findings& out) {
  constexpr double kARank = double(4 << 20);  // of Open MPI's segment; it is filled as it is used
  struct statvfs s{};
  const fs::path folder = here.root / "dev/shm";
  if (::statvfs(folder.c_str(), &s) != 0) {
    out.note("/dev/shm", "is not there: ranks of one node exchange by the network", "sudo mkdir -p /dev/shm && sudo mount -t tmpfs tmpfs /dev/shm");
    return;
  }
  const double free = double(s.f_bavail) * double(s.f_frsize), total = double(s.f_blocks) * double(s.f_frsize);
  const std::string text = fmt::format("{} of {} free", human_bytes(free), human_bytes(total));
  const bool elsewhere = !here.environment("OMPI_MCA_btl_vader_backing_directory").empty();
  const double wanted = kARank * std::max(comm.node_size(), 2);
  if (free < wanted && !elsewhere) {
    const std::string remedy = "export OMPI_MCA_btl_vader_backing_directory=/tmp";
    if (comm.node_size() > 1) out.problem(ExitCode::io, "/dev/shm", fmt::format("{}: {} ranks need {}", text, comm.node_size(), human_bytes(wanted)), remedy);
    else out.note("/dev/shm", text + ": too little for several ranks", remedy);
  } else {
    out.ok("/dev/shm", text);
  }
  int left = 0;
  for (const std::string& name : kernel_names(folder)) left += name.starts_with("vader_segment.");
  if (left > 16 && comm.transport() != "mpi")
    out.note("left behind", fmt::format("{} segments of ranks that were killed lie in /dev/shm; while no MPI program runs they may be removed", left), "rm /dev/shm/vader_segment.*");
  if (kernel_number(here.root / "proc/sys/kernel/yama/ptrace_scope").value_or(0) >= 1 && !here.superuser)
    out.note("single copy", "ptrace is restricted, so ranks of one node copy each message twice", "sudo sysctl kernel.yama.ptrace_scope=0");
}

std::vector<std::string> seat_table(const std::vector<Seat>& seats, int most_rows) {
  std::vector<std::string> rows = {fmt::format("{:>5}  {:<24}{:>5}  {:<28}{}", "rank", "node", "cores", "which", "GPU")};
  for (size_t r = 0; r < seats.size(); ++r) {
    if (int(r) == most_rows) {
      rows.push_back(fmt::format("{:>5}  {} more (--full, --json)", "", seats.size() - r));
      break;
    }
    const Seat& s = seats[r];
    std::string host = s.host.substr(0, 23), which = cpu_list_text(s.cpus);
    if (which.size() > 27) which = which.substr(0, 24) + "...";
    rows.push_back(fmt::format("{:>5}  {:<24}{:>5}  {:<28}{}", r, host, s.cpus.size(), which, s.gpu.empty() ? "-" : s.gpu));
  }
  return rows;
}

void check_seats(const Surroundings& here, const std::vector<Seat>& seats, const GpuMap& map, int most_rows, Findings& out) {
  std::set<std::string> hosts;
  for (const Seat& s : seats) hosts.insert(s.host);
  Finding& table = out.ok("ranks", fmt::format("{} on {} node{}", seats.size(), hosts.size(), hosts.size() == 1 ? "" : "s"));
  table.table = seat_table(seats, most_rows);
  for (size_t r = 0; r < seats.size(); ++r)
    table.values.emplace_back(fmt::format("rank {}", r), fmt::format("{}: cores {}, GPU {}", seats[r].host, cpu_list_text(seats[r].cpus), seats[r].gpu.empty() ? "-" : seats[r].gpu));

  // Fewer cores than a share of the node: a launcher bound the rank.
  int bound = 0;
  for (const Seat& s : seats) bound += s.present > 0 && int(s.cpus.size()) < s.present / s.node_size;
  std::map<std::pair<std::string, std::vector<int>>, int> sharing;
  int crowded = 0;
  for (const Seat& s : seats)
    if (s.cpus.size() == 1 && ++sharing[{s.host, s.cpus}] > 1) ++crowded;
  const std::string unbind = "export OMPI_MCA_hwloc_base_binding_policy=none";
  if (crowded > 0) out.note("binding", fmt::format("{} ranks share one core with another while others may be idle", crowded + 1), unbind);
  else if (bound > 0) out.note("binding", fmt::format("{} of {} ranks may use fewer cores than their share of the node", bound, seats.size()), unbind);
  else out.ok("binding", "each rank may use its share of the node");
  int over = 0;
  for (const Seat& s : seats) over += s.node_rank == 0 && s.present > 0 && s.node_size > s.present;
  if (over > 0) {
    const bool yields = !here.environment("OMPI_MCA_mpi_yield_when_idle").empty();
    out.note("oversubscribed", fmt::format("{} node{} more ranks than cores{}", over, over == 1 ? " has" : "s have", yields ? "" : ", and ranks that wait keep theirs busy"),
             yields ? "" : "export OMPI_MCA_mpi_yield_when_idle=1");
  }

  const bool several = seats.size() > 1;
  if (several && !map.boards.empty()) {
    const auto without = std::count_if(seats.begin(), seats.end(), [](const Seat& s) { return s.gpu == "none left"; });
    if (without > 0)
      out.note("GPUs", fmt::format("{} rank{} no GPU of {} own", without, without == 1 ? " has" : "s have", without == 1 ? "its" : "their"),
               fmt::format("mpirun -np {} tokenwerk ...", std::max<std::ptrdiff_t>(1, std::ssize(seats) - without)));
  }
  for (size_t r = 1; r < seats.size(); ++r)
    if (seats[r].program != seats[0].program) {
      out.problem(ExitCode::config, "program", fmt::format("rank {} on {} runs another build than rank 0 on {}", r, seats[r].host, seats[0].host),
                  fmt::format("scp $(command -v tokenwerk) {}:$(command -v tokenwerk)", seats[r].host));
      break;
    }
  const auto [early, late] = std::minmax_element(seats.begin(), seats.end(), [](const Seat& a, const Seat& b) { return a.clock < b.clock; });
  constexpr double kApart = 2;  // seconds: leases of run folders go by the clock
  if (late->clock - early->clock > kApart)
    out.note("clocks", fmt::format("{} and {} are {} apart", early->host, late->host, human_seconds(late->clock - early->clock)), "sudo timedatectl set-ntp true");
}

// Rank 0 with its neighbour on the node and one rank of each other node; with `full` every pair of these.
std::vector<std::pair<int, int>> pairs_to_measure(Communicator& comm, bool full) {
  const std::vector<std::string> hosts = hosts_of_ranks(comm);
  std::vector<int> firsts;
  std::set<std::string> seen;
  for (int r = 0; r < comm.size(); ++r)
    if (seen.insert(hosts[size_t(r)]).second) firsts.push_back(r);
  std::vector<std::pair<int, int>> pairs;
  for (int r = 1; r < comm.size() && pairs.empty(); ++r)
    if (hosts[size_t(r)] == hosts[0]) pairs.emplace_back(0, r);
  constexpr size_t kFew = 8, kMany = 64;
  for (size_t a = 0; a < firsts.size(); ++a)
    for (size_t b = a + 1; b < firsts.size(); ++b)
      if (pairs.size() < (full ? kMany : kFew) && (full || a == 0)) pairs.emplace_back(firsts[a], firsts[b]);
  return pairs;
}

}  // namespace

std::vector<std::string> hosts_of_ranks(Communicator& comm) { return all_gather_text(comm, host_name()); }

void check_ranks(const Surroundings& here, const GpuMap& map, Communicator& comm, int most_rows, Findings& out) {
  out.begin("MPI");
  check_launch(here, comm, out);
  check_shared_memory(here, comm, out);
  const std::vector<Seat> seats = seats_of(here, map, comm);
  if (comm.transport() != "self") check_seats(here, seats, map, most_rows, out);
}

void check_shared_folder(const Surroundings& here, Communicator& comm, Findings& out) {
  const std::vector<std::string> hosts = hosts_of_ranks(comm);
  if (std::set<std::string>(hosts.begin(), hosts.end()).size() < 2) return;
  const fs::path folder = existing_folder(here.folder);
  std::string name;
  FileDescriptor fd;
  if (comm.rank() == 0) {
    name = (folder / ".tokenwerk-doctor-XXXXXX").string();
    fd = FileDescriptor(::mkstemp(name.data()));
    if (!fd) name.clear();
  }
  name = broadcast_text(comm, name, 0);
  bool seen = false;
  // Network filesystems show a new file with a delay.
  for (int tries = 0; !name.empty() && tries < 20 && !seen; ++tries) {
    std::error_code absent;
    seen = fs::exists(name, absent);
    if (!seen) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const std::vector<std::string> all = all_gather_text(comm, seen ? "1" : "0");
  if (comm.rank() == 0 && !name.empty()) ::unlink(name.c_str());
  if (name.empty()) return;  // said already: no file can be made there
  std::string blind;
  std::set<std::string> named;
  for (size_t r = 0; r < all.size(); ++r)
    if (all[r] != "1" && named.insert(hosts[r]).second && named.size() <= 4) blind += (blind.empty() ? "" : ", ") + hosts[r];
  if (named.empty()) out.ok("shared", "all nodes see the same folder");
  else
    out.problem(ExitCode::cannot_create, "shared", fmt::format("{} of {} see{} another folder {} than rank 0", blind, named.size() > 4 ? "and more" : "the nodes", named.size() == 1 ? "s" : "", folder.string()),
                "tokenwerk train --out /on/a/shared/filesystem ...");
}

void check_exchange(Communicator& comm, const Stream& stream, bool full, Findings& out) {
  if (comm.size() == 1) return;
  constexpr double kLate = 1e-3, kSlow = 100e6;  // seconds, bytes a second
  const std::vector<std::string> hosts = hosts_of_ranks(comm);
  for (const PairSpeed& p : measure_pairs(comm, stream, pairs_to_measure(comm, full), full ? 0.5 : 0.15)) {
    const bool near = hosts[size_t(p.from)] == hosts[size_t(p.to)];
    const std::string name = fmt::format("ranks {}, {}", p.from, p.to);
    std::string text = fmt::format("{:.1f} us, {:.2f} GB/s ({})", 1e6 * p.latency, p.bandwidth / 1e9, near ? "one node" : hosts[size_t(p.from)] + " to " + hosts[size_t(p.to)]);
    const bool slow = p.bandwidth < kSlow;
    if (slow) text += fmt::format(": slow, gradients of 100 M parameters take {}", human_seconds(4e8 / p.bandwidth));
    else if (p.latency > kLate) text += ": late, other programs may hold the cores";
    (slow || p.latency > kLate ? out.note(name, text) : out.ok(name, text))
        .values = {{"latency_seconds", p.latency}, {"bytes_per_second", p.bandwidth}};
  }
  for (const AllReduceSpeed& s : measure_all_reduce(comm, stream, full, full ? 0.5 : 0.15))
    out.ok("all-reduce", fmt::format("{}: {}{}", human_bytes(s.bytes), human_seconds(s.seconds),
                                     s.bytes > 1e5 ? fmt::format(", {:.2f} GB/s of a rank", s.wire_rate(comm.size()) / 1e9) : ""))
        .values = {{"bytes", s.bytes}, {"seconds", s.seconds}};
}

}  // namespace tw
