#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "kernels/cpu/simd.h"
#include "src/core/format.h"
#include "src/machine/checks.h"
#include "src/machine/kernel_files.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

std::string plural(int64_t n, const char* what) { return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"); }

struct CpuInfo {
  std::string model, flags;
  int sockets = 0, cores = 0, threads = 0;  // 0 = not told
};

CpuInfo read_cpu_info(const fs::path& root) {
  CpuInfo info;
  const std::string text = kernel_text(root / "proc/cpuinfo");
  info.model = kernel_field(text, "model name");
  info.flags = " " + kernel_field(text, "flags") + " ";
  std::set<std::string> sockets, cores;
  std::string socket;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    if (line.starts_with("processor")) ++info.threads, socket.clear();
    if (line.starts_with("physical id")) sockets.insert(socket = kernel_field(line, "physical id"));
    if (line.starts_with("core id")) cores.insert(socket + "/" + kernel_field(line, "core id"));
  }
  info.sockets = int(sockets.size()), info.cores = int(cores.size());
  return info;
}

std::string instructions(const CpuInfo& info) {
  std::string text;
  switch (cpu::best_simd_level()) {
    case cpu::SimdLevel::v4: text = "AVX-512"; break;
    case cpu::SimdLevel::v3: text = "AVX2 and FMA"; break;
    case cpu::SimdLevel::v1: text = "the oldest ones alone"; break;
  }
  if (cpu::has_bf16_products()) text += " with products of bf16 (AVX512_BF16)";
  if (info.flags.find(" amx_bf16 ") != info.flags.npos) text += "; AMX is there, our kernels do not use it";
  return text;
}

// "performance on 4, powersave on 2 cores".
void check_governor(const Surroundings& here, Findings& out) {
  const fs::path cpus = here.root / "sys/devices/system/cpu";
  std::map<std::string, int> governors;
  std::string driver;
  for (const int c : parse_cpu_list(kernel_text(cpus / "online"))) {
    const fs::path frequency = cpus / ("cpu" + std::to_string(c)) / "cpufreq";
    if (const std::string g = kernel_text(frequency / "scaling_governor"); !g.empty()) ++governors[g];
    if (driver.empty()) driver = kernel_text(frequency / "scaling_driver");
  }
  if (governors.empty()) {
    out.ok("governor", "the clock is not set from here (virtual machine or firmware)");
    return;
  }
  std::string text;
  for (const auto& [name, cores] : governors) text += fmt::format("{}{} on {}", text.empty() ? "" : ", ", name, plural(cores, "core"));
  if (!driver.empty()) text += " (" + driver + ")";
  // With these drivers powersave means: as the load asks for.
  const bool by_load = driver == "intel_pstate" || driver.starts_with("amd-pstate") || driver == "amd_pstate";
  if (governors.contains("conservative") || governors.contains("userspace") || (governors.contains("powersave") && !by_load))
    out.note("governor", text + ": cores stay below their clock", "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor");
  else out.ok("governor", text);
}

}  // namespace

void check_cpu(const Surroundings& here, int threads, Findings& out) {
  out.begin("CPU");
  const CpuInfo info = read_cpu_info(here.root);
  const int online = int(parse_cpu_list(kernel_text(here.root / "sys/devices/system/cpu/online")).size());
  const int present = online > 0 ? online : info.threads;
  std::string model = info.model.empty() ? "model not told" : info.model;
  if (info.sockets > 0) model += ", " + plural(info.sockets, "socket");
  if (info.cores > 0) model += ", " + plural(info.cores, "core");
  if (present > 0) model += ", " + plural(present, "thread");
  if (info.flags.find(" hypervisor ") != info.flags.npos) model += ", virtual machine";
  out.ok("model", model).values = {{"model", info.model}, {"sockets", double(info.sockets)}, {"cores", double(info.cores)}, {"threads", double(present)}};

  if (cpu::best_simd_level() == cpu::SimdLevel::v1)
    out.note("instructions", instructions(info) + ": no AVX2, so matrix products are several times slower");
  else out.ok("instructions", instructions(info));

  const int allowed = int(here.cpus.size());
  const GroupLimits group = group_limits(here.root);
  const std::string cores = fmt::format("{} of {} may be used ({})", allowed, present > 0 ? std::to_string(present) : "?", cpu_list_text(here.cpus));
  if (allowed > 0 && allowed < present) {
    if (!here.environment("SLURM_JOB_ID").empty()) out.note("cores", cores, fmt::format("sbatch --cpus-per-task {} ...", present));
    else if (!here.environment("OMPI_COMM_WORLD_SIZE").empty()) out.note("cores", cores, "export OMPI_MCA_hwloc_base_binding_policy=none");
    else if (group.cpus == here.cpus) out.note("cores", cores + ": the control group has no more");
    else out.note("cores", cores, fmt::format("taskset -c {} tokenwerk ...", cpu_list_text(group.cpus.empty() ? parse_cpu_list(kernel_text(here.root / "sys/devices/system/cpu/online")) : group.cpus)));
  } else {
    out.ok("cores", cores);
  }

  const auto& quota = group.cores;
  if (quota && *quota < allowed) {
    const int whole = std::max(1, int(std::floor(*quota)));
    out.note("quota", fmt::format("the control group gives {:.2f} cores of time, {} are seen: more threads than that wait for each other", *quota, allowed),
             fmt::format("tokenwerk train --training.threads {} ...", whole));
  } else {
    out.ok("quota", quota ? fmt::format("{:.2f} cores of time", *quota) : std::string("none"));
  }
  check_governor(here, out);

  const auto load = kernel_number(here.root / "proc/loadavg");
  if (load && *load > 0.5 * std::max(1, allowed)) out.note("load", fmt::format("{:.2f} in the last minute: other programs are at work", *load));
  else if (load) out.ok("load", fmt::format("{:.2f} in the last minute", *load));
  out.ok("threads", fmt::format("{} for a rank", threads)).values = {{"threads", double(threads)}};
}

void check_memory(const Surroundings& here, Findings& out) {
  out.begin("Memory");
  const MemoryState m = read_memory(here.root);
  constexpr double kLittle = double(1 << 30);
  if (m.total <= 0) {
    out.note("memory", "not told: /proc is not mounted, so what limits a run is not seen", "sudo mount -t proc proc /proc");
    return;
  }
  const std::string memory = fmt::format("{}, {} free", human_bytes(m.total), human_bytes(m.available));
  Finding& line = m.available < kLittle ? out.note("memory", memory + ": little for a model") : out.ok("memory", memory);
  line.values = {{"total_bytes", m.total}, {"available_bytes", m.available}};

  if (m.group.memory && *m.group.memory < m.total) {
    const std::string limit = fmt::format("the control group allows {}, {} are left", human_bytes(*m.group.memory), human_bytes(m.group.memory_left.value_or(*m.group.memory)));
    if (m.usable() < kLittle) out.note("limit", limit + ": little for a model");
    else out.ok("limit", limit);
  } else {
    out.ok("limit", "none");
  }

  const std::string huge = kernel_text(here.root / "sys/kernel/mm/transparent_hugepage/enabled");
  const std::string set_aside = m.huge_pages > 0 ? fmt::format("; {:.0f} of {} set aside, which we do not use", m.huge_pages, human_bytes(m.huge_page)) : "";
  if (huge.find("[never]") != huge.npos)
    out.note("huge pages", "off: large arrays cost more page walks" + set_aside,
             "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
  else out.ok("huge pages", (huge.empty() ? "not told" : huge.find("[always]") != huge.npos ? "always" : "where asked for, as we do") + set_aside);

  std::vector<std::string> nodes;
  for (const std::string& name : kernel_names(here.root / "sys/devices/system/node"))
    if (name.starts_with("node") && name.size() > 4 && name.find_first_not_of("0123456789", 4) == name.npos) nodes.push_back(name);
  if (nodes.size() > 1) {
    std::string text = fmt::format("{} nodes:", nodes.size());
    for (const std::string& node : nodes) {
      const fs::path folder = here.root / "sys/devices/system/node" / node;
      const std::string info = kernel_text(folder / "meminfo");  // "Node 0 MemTotal:  65536 kB"
      const size_t at = info.find("MemTotal:");
      const double bytes = at == info.npos ? 0 : std::strtod(info.c_str() + at + 9, nullptr) * 1024;
      text += fmt::format(" {} (cores {}, {})", node.substr(4), kernel_text(folder / "cpulist"), human_bytes(bytes));
    }
    if (here.environment("OMPI_COMM_WORLD_SIZE").empty())
      out.note("NUMA", text + ". One rank on several of them reads far memory", fmt::format("mpirun -np {} --map-by ppr:1:numa --bind-to numa tokenwerk train ...", nodes.size()));
    else out.ok("NUMA", text);
  } else {
    out.ok("NUMA", "one node");
  }

  const double used = m.swap_total - m.swap_free;
  if (used > 0.1 * m.swap_total && used > double(64 << 20)) out.note("swap", fmt::format("{} of {} in use: memory was short", human_bytes(used), human_bytes(m.swap_total)));
  else out.ok("swap", m.swap_total > 0 ? fmt::format("{}, {} in use", human_bytes(m.swap_total), human_bytes(used)) : std::string("none"));
  if (kernel_number(here.root / "proc/sys/vm/overcommit_memory").value_or(0) == 2)
    out.note("overcommit", "strict: what is laid out counts at once, though much of it is touched late", "sudo sysctl vm.overcommit_memory=0");
}

}  // namespace tw
