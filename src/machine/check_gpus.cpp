#include <fmt/format.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "src/core/dynamic_library.h"
#include "src/core/format.h"
#include "src/machine/checks.h"
#include "src/machine/kernel_files.h"

namespace tw {
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

}  // namespace

void check_gpus(const Surroundings& here, const GpuMap& map, Findings& out) {
  out.begin("GPU");
  if (kBuiltWithCuda) out.ok("this build", "with CUDA");
  else out.note("this build", "without CUDA: it computes on the CPU, whatever GPUs there are");

  const Found driver = look_for(here.cuda_driver, [](const DynamicLibrary& library) -> std::string {
    int version = 0;
    const auto ask = library.find<int (*)(int*)>("cuDriverGetVersion");
    return ask && ask(&version) == 0 && version > 0 ? "CUDA " + cuda_version(version) : "";
  });
  if (driver.name.empty()) {
    out.note("driver", "none: no NVIDIA driver is installed here, so no GPU can be used").values = {{"missing", driver.missing}};
  } else {
    const std::string text = fmt::format("{}{}", map.driver.empty() ? "" : map.driver + ", ", driver.version.empty() ? "version not told" : driver.version);
    out.ok("driver", text).values = {{"version", map.driver}, {"cuda", driver.version}};
  }
  say(out, "CUDA runtime", look_for(here.cuda_runtime, [](const DynamicLibrary& library) -> std::string {
        int version = 0;
        const auto ask = library.find<int (*)(int*)>("cudaRuntimeGetVersion");
        return ask && ask(&version) == 0 ? cuda_version(version) : "";
      }), ", not needed on the CPU");
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
    out.ok("boards", fmt::format("not known: {}", shortened(map.missing, 120)));
    return;
  }
  if (map.boards.empty()) {
    out.ok("boards", "NVML knows of none");
    return;
  }
  const std::string visible = here.environment("CUDA_VISIBLE_DEVICES");
  const std::vector<int> usable = visible_boards(map, visible);
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
