#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "src/core/dynamic_library.h"
#include "src/core/format.h"
#include "src/core/gpu.h"
#include "src/machine/checks.h"
#include "src/machine/kernel_files.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

// 13000 -> "13.0".
std::string cuda_version(int v) { return fmt::format("{}.{}", v / 1000, v % 1000 / 10); }

// A library that need not be there, and what it says of its version.
struct Found {
  std::string name, version, missing;
};
template <class Ask>
Found look_for(const std::vector<std::string>& names, Ask&& ask) {
  Found found;
  for (const std::string& name : names) {
    try {
      const DynamicLibrary library(name);
      found.name = name, found.version = ask(library);
      return found;
    } catch (const Error& e) {
      if (found.missing.empty()) found.missing = e.what();
    }
  }
  return found;
}

void say(Findings& out, const char* name, const Found& found, const char* absent) {
  if (found.name.empty()) out.ok(name, fmt::format("not found{}", absent)).values = {{"missing", found.missing}};
  else out.ok(name, fmt::format("{} ({})", found.version.empty() ? "version not told" : found.version, found.name)).values = {{"version", found.version}, {"library", found.name}};
}

// Boards on the bus, whether a driver knows them or not.
int boards_on_bus(const Surroundings& here) {
  const fs::path devices = here.root / "sys/bus/pci/devices";
  int boards = 0;
  for (const std::string& name : kernel_names(devices)) {
    // Class 0x03: displays, of which 0x0302 does computation alone.
    const std::string kind = kernel_text(devices / name / "class");
    boards += kernel_text(devices / name / "vendor") == "0x10de" && (kind.starts_with("0x0300") || kind.starts_with("0x0302"));
  }
  return boards;
}

// The compiler and what it is of: "13.0 (/usr/local/cuda/bin/nvcc)".
void check_toolkit(const Surroundings& here, Findings& out) {
  fs::path compiler = find_program(here, "nvcc");
  std::error_code absent;
  if (const fs::path usual = here.root / "usr/local/cuda/bin/nvcc"; compiler.empty() && fs::exists(usual, absent)) compiler = usual;
  if (compiler.empty()) {
    out.ok("CUDA toolkit", "not found, not needed on the CPU");
    return;
  }
  // "#define CUDA_VERSION 13000"
  const std::string header = kernel_text(compiler.parent_path().parent_path() / "include/cuda.h");
  constexpr std::string_view kName = "#define CUDA_VERSION ";
  const size_t at = header.find(kName);
  const int version = at == header.npos ? 0 : std::atoi(header.c_str() + at + kName.size());
  out.ok("CUDA toolkit", fmt::format("{} ({})", version > 0 ? cuda_version(version) : "version not told", compiler.string())).values = {{"version", double(version)}};
}

// What NVML says that cannot be.
void check_map(const GpuMap& map, Findings& out) {
  for (const std::string& lost : map.lost) out.note("lost", lost + ": it does not answer", "sudo dmesg | grep -i -e xid -e nvrm");
  for (size_t a = 0; a < map.boards.size(); ++a)
    for (size_t b = a + 1; b < map.boards.size(); ++b) {
      const GpuBoard &x = map.boards[a], &y = map.boards[b];
      const std::string pair = fmt::format("GPU {} and GPU {}", x.index, y.index);
      if ((!x.uuid.empty() && x.uuid == y.uuid) || (!x.bus_id.empty() && x.bus_id == y.bus_id))
        out.note("map", pair + " have one name: which is which cannot be told", "nvidia-smi -L");
      if (map.path[a][b] != map.path[b][a])
        out.note("map", fmt::format("{}: {} one way and {} the other", pair, map.path[a][b], map.path[b][a]), "nvidia-smi topo -m");
    }
}

}  // namespace

void check_gpus(const Surroundings& here, const GpuMap& map, Findings& out) {
  out.begin("GPU");
  const int boards = std::max(boards_on_bus(here), int(map.boards.size()));
  if (gpu::built()) out.ok("this build", "with CUDA");
  else if (boards > 0) out.note("this build", "without CUDA: it computes on the CPU, whatever GPUs there are");
  else out.ok("this build", "without CUDA: it computes on the CPU");

  const Found driver = look_for(here.cuda_driver, [](const DynamicLibrary& library) -> std::string {
    int version = 0;
    const auto ask = library.find<int (*)(int*)>("cuDriverGetVersion");
    return ask && ask(&version) == 0 && version > 0 ? "CUDA " + cuda_version(version) : "";
  });
  if (driver.name.empty() && boards > 0) {
    out.note("driver", fmt::format("none, but {} NVIDIA board{} on the bus. Debian has it in contrib and non-free", boards, boards == 1 ? " is" : "s are"),
             "sudo apt-get install nvidia-driver")
        .values = {{"missing", driver.missing}};
  } else if (driver.name.empty()) {
    out.ok("driver", "none, and no NVIDIA board is on the bus").values = {{"missing", driver.missing}};
  } else {
    const std::string text = fmt::format("{}{}", map.driver.empty() ? "" : map.driver + ", ", driver.version.empty() ? "version not told" : driver.version);
    out.ok("driver", text).values = {{"version", map.driver}, {"cuda", driver.version}};
  }
  check_toolkit(here, out);
  int runtime_version = 0;
  const Found runtime = look_for(here.cuda_runtime, [&](const DynamicLibrary& library) -> std::string {
    const auto ask = library.find<int (*)(int*)>("cudaRuntimeGetVersion");
    return ask && ask(&runtime_version) == 0 ? cuda_version(runtime_version) : "";
  });
  say(out, "CUDA runtime", runtime, ", not needed on the CPU");
  // Within one major version an older driver runs a newer runtime.
  if (map.cuda > 0 && runtime_version / 1000 > map.cuda / 1000)
    out.note("too new", fmt::format("the runtime is {}, the driver runs {} at most: a newer driver or an older runtime is wanted", cuda_version(runtime_version), cuda_version(map.cuda)),
             "sudo apt-get install --only-upgrade nvidia-driver");
  say(out, "NCCL", look_for(here.nccl, [](const DynamicLibrary& library) -> std::string {
        int v = 0;
        const auto ask = library.find<int (*)(int*)>("ncclGetVersion");
        if (!ask || ask(&v) != 0) return "";
        return v < 10000 ? fmt::format("{}.{}.{}", v / 1000, v % 1000 / 100, v % 100) : fmt::format("{}.{}.{}", v / 10000, v % 10000 / 100, v % 100);
      }), ", not needed on the CPU");
  say(out, "cuDNN", look_for(here.cudnn, [](const DynamicLibrary& library) -> std::string {
        const auto ask = library.find<size_t (*)()>("cudnnGetVersion");
        if (!ask) return "";
        const size_t v = ask();
        return v >= 90000 ? fmt::format("{}.{}.{}", v / 10000, v % 10000 / 100, v % 100) : fmt::format("{}.{}.{}", v / 1000, v % 1000 / 100, v % 100);
      }), ", not needed on the CPU");

  if (!map.missing.empty()) {
    if (boards > 0 || !driver.name.empty()) out.note("boards", fmt::format("not known: {}", shortened(map.missing, 120)), "nvidia-smi");
    return;
  }
  check_map(map, out);
  if (map.boards.empty()) {
    out.ok("boards", "NVML knows of none");
    return;
  }
  const std::string visible = here.environment("CUDA_VISIBLE_DEVICES");
  const std::vector<int> usable = visible_boards(map, visible);
  if (const std::string error = visible_boards_error(map, visible); !error.empty())
    out.note("visible", fmt::format("CUDA_VISIBLE_DEVICES={}: {}; {} of {} boards are left", shortened(visible, 60), error, usable.size(), map.boards.size()),
             "unset CUDA_VISIBLE_DEVICES");
  for (size_t i = 0; i < map.boards.size(); ++i) {
    const GpuBoard& b = map.boards[i];
    std::string text = fmt::format("{}, {} ({} used)", b.name.empty() ? "name not told" : b.name, human_bytes(b.memory), human_bytes(b.memory_used));
    if (b.capability > 0) text += fmt::format(", capability {}.{}", b.capability / 10, b.capability % 10);
    text += ", " + b.bus_id;
    if (b.numa_node >= 0) text += fmt::format(", NUMA {}", b.numa_node);
    if (b.links > 0) text += fmt::format(", {} NVLinks{}", b.links, b.links_to_switch > 0 ? " to a switch" : "");
    if (b.mig) text += ", divided (MIG)";
    if (std::find(usable.begin(), usable.end(), int(i)) == usable.end()) text += ", hidden by CUDA_VISIBLE_DEVICES";
    text += ", " + b.uuid;
    const bool full = b.memory > 0 && b.memory_used > 0.1 * b.memory;
    Finding& line = full ? out.note(fmt::format("GPU {}", b.index), text + ": another program holds memory", "nvidia-smi") : out.ok(fmt::format("GPU {}", b.index), text);
    line.values = {{"name", b.name}, {"uuid", b.uuid}, {"bus_id", b.bus_id}, {"memory_bytes", b.memory}, {"memory_used_bytes", b.memory_used},
                   {"numa_node", double(b.numa_node)}, {"nvlinks", double(b.links)}};
  }
  const bool alike = std::all_of(map.boards.begin(), map.boards.end(), [&](const GpuBoard& b) { return b.name == map.boards[0].name; });
  if (!alike && here.environment("CUDA_DEVICE_ORDER") != "PCI_BUS_ID")
    out.note("order", "the boards differ, so CUDA numbers the fastest first and not as above", "export CUDA_DEVICE_ORDER=PCI_BUS_ID");
  if (map.boards.size() < 2) return;
  // Of more than these only the JSON has the table.
  const size_t shown = std::min<size_t>(map.boards.size(), 10);
  Finding& line = out.ok("map", "NVn: n NVLinks; PIX, PXB: PCIe switches; PHB: CPU; NODE, SYS: between sockets");
  std::string head = fmt::format("{:<8}", "");
  for (size_t b = 0; b < shown; ++b) head += fmt::format("{:>6}", fmt::format("GPU{}", map.boards[b].index));
  line.table.push_back(head);
  for (size_t a = 0; a < shown; ++a) {
    std::string row = fmt::format("{:<8}", fmt::format("GPU{}", map.boards[a].index));
    for (size_t b = 0; b < shown; ++b) row += fmt::format("{:>6}", map.path[a][b]);
    line.table.push_back(row);
  }
  for (size_t a = 0; a < map.boards.size(); ++a)
    for (size_t b = a + 1; b < map.boards.size(); ++b)
      line.values.emplace_back(fmt::format("{}-{}", map.boards[a].index, map.boards[b].index), map.path[a][b]);
}

void check_energy(const EnergyOptions& options, const GpuMap& map, Findings& out) {
  out.begin("Energy");
  std::vector<std::string> uuids;
  for (const GpuBoard& b : map.boards) uuids.push_back(b.uuid);
  const std::vector<EnergySource> sources = find_energy_sources(options, uuids);
  std::string why;
  bool any = false;
  for (const EnergySource& s : sources) {
    if (s.usable) {
      out.ok(s.name, s.text).values = {{"source", s.name}};
      any = true;
    } else if (s.name == "rapl" && s.text.find("not readable") != s.text.npos) {
      out.note(s.name, s.text, "sudo chmod a+r " + (options.powercap / "intel-rapl:*/energy_uj").string());
    } else {
      why += (why.empty() ? "" : "; ") + s.name + ": " + s.text;
    }
  }
  if (!options.enabled) {
    out.note("meter", "energy.enabled = false: no joules are counted", "tokenwerk train --energy.enabled true ...");
    return;
  }
  if (options.source != "auto" && options.source != "none") {
    const auto asked = std::find_if(sources.begin(), sources.end(), [&](const EnergySource& s) { return s.name == options.source; });
    if (asked == sources.end())
      out.problem(ExitCode::config, "energy.source", fmt::format("\"{}\" is not known: auto, nvml, rapl, file:PATH, assumed, none", options.source),
                  "tokenwerk train --energy.source auto ...");
    else if (!asked->usable)
      out.problem(ExitCode::config, "energy.source", fmt::format("\"{}\" cannot be read: {}", options.source, asked->text),
                  "tokenwerk train --energy.source auto ...");
  }
  if (!any) out.note("meter", "none, so no joules are printed. " + why, "tokenwerk train --energy.assumed_watts 100 ...");
  else if (!why.empty()) out.ok("not here", why);
}

}  // namespace tw
