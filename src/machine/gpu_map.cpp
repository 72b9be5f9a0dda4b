#include "src/machine/gpu_map.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "src/core/dynamic_library.h"
#include "src/core/log.h"
#include "src/machine/kernel_files.h"

namespace tw {
namespace {

// The parts of nvml.h that are needed (NVML API reference; the ABI of these versions is kept by the driver).
using Device = void*;
struct Pci {  // nvmlPciInfo_t, version 3
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device, pci_subsystem;
  char bus_id[32];
};
struct Memory {
  unsigned long long total, free, used;
};
constexpr unsigned kMostLinks = 36;
constexpr unsigned kMostBoards = 1024;
constexpr int kToSwitch = 2;  // nvmlIntNvLinkDeviceType_t

class Nvml {
 public:
  explicit Nvml(const std::string& name) : library(name) {
    int (*init)() = nullptr;
    library.load("nvmlInit_v2", init);
    library.load("nvmlShutdown", shutdown_);
    library.load("nvmlErrorString", error_string_);
    const int code = init();
    TW_CHECK(code == 0, no_input, "NVML does not start: {}", error_string_(code));
  }
  ~Nvml() { shutdown_(); }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  // An entry that old drivers may lack; false where it is missing or fails.
  template <class... Wanted, class... Given>
  bool call(const char* name, int (*)(Wanted...), Given... given) const {
    const auto function = library.find<int (*)(Wanted...)>(name);
    return function && function(given...) == 0;
  }
  DynamicLibrary library;

 private:
  int (*shutdown_)() = nullptr;
  const char* (*error_string_)(int) = nullptr;
};

// A signature, to be named in a call.
template <class... Arguments>
constexpr int (*with())(Arguments...) { return nullptr; }

// "00000000:1B:00.0" and "0000:1b:00.0" are one place: domain of 4 digits, small letters.
std::string plain_bus_id(std::string id) {
  std::transform(id.begin(), id.end(), id.begin(), [](unsigned char c) { return char(std::tolower(c)); });
  const size_t colon = id.find(':');
  if (colon != id.npos && colon > 4) id.erase(0, colon - 4);
  return id;
}

std::string text_of(const char* buffer, size_t bytes) { return {buffer, std::find(buffer, buffer + bytes, '\0')}; }

const char* name_of_path(int level) {
  switch (level) {
    case 0: return "INT";
    case 10: return "PIX";
    case 20: return "PXB";
    case 30: return "PHB";
    case 40: return "NODE";
    case 50: return "SYS";
    default: return "?";
  }
}

void read_links(const Nvml& nvml, Device device, GpuBoard& board) {
  for (unsigned link = 0; link < kMostLinks; ++link) {
    int up = 0;
    if (!nvml.call("nvmlDeviceGetNvLinkState", with<Device, unsigned, int*>(), device, link, &up)) break;
    if (!up) continue;
    ++board.links;
    int type = -1;
    Pci far{};
    if (nvml.call("nvmlDeviceGetNvLinkRemoteDeviceType", with<Device, unsigned, int*>(), device, link, &type) && type == kToSwitch)
      ++board.links_to_switch;
    else if (nvml.call("nvmlDeviceGetNvLinkRemotePciInfo_v2", with<Device, unsigned, Pci*>(), device, link, &far))
      board.link_to.push_back(plain_bus_id(text_of(far.bus_id, sizeof far.bus_id)));
  }
}

GpuBoard read_board(const Nvml& nvml, Device device, int index, const std::string& root) {
  GpuBoard board{.index = index};
  char text[96] = "";
  if (nvml.call("nvmlDeviceGetName", with<Device, char*, unsigned>(), device, text, unsigned(sizeof text))) board.name = text_of(text, sizeof text);
  if (nvml.call("nvmlDeviceGetUUID", with<Device, char*, unsigned>(), device, text, unsigned(sizeof text))) board.uuid = text_of(text, sizeof text);
  Pci pci{};
  if (nvml.call("nvmlDeviceGetPciInfo_v3", with<Device, Pci*>(), device, &pci)) board.bus_id = plain_bus_id(text_of(pci.bus_id, sizeof pci.bus_id));
  Memory memory{};
  if (nvml.call("nvmlDeviceGetMemoryInfo", with<Device, Memory*>(), device, &memory))
    board.memory = double(memory.total), board.memory_used = double(memory.used);
  int major = 0, minor = 0;
  if (nvml.call("nvmlDeviceGetCudaComputeCapability", with<Device, int*, int*>(), device, &major, &minor)) board.capability = 10 * major + minor;
  unsigned mig = 0, pending = 0;
  if (nvml.call("nvmlDeviceGetMigMode", with<Device, unsigned*, unsigned*>(), device, &mig, &pending)) board.mig = mig != 0;
  if (!board.bus_id.empty() && board.bus_id.find('/') == std::string::npos)
    board.numa_node = int(kernel_number(std::filesystem::path(root) / "sys/bus/pci/devices" / board.bus_id / "numa_node").value_or(-1));
  read_links(nvml, device, board);
  return board;
}

// NVLinks from a to b: those that end there, or all that reach a common switch.
int links_between(const GpuBoard& a, const GpuBoard& b) {
  const int direct = int(std::count(a.link_to.begin(), a.link_to.end(), b.bus_id));
  return direct + std::min(a.links_to_switch, b.links_to_switch);
}

}  // namespace

GpuMap read_gpu_map(const std::vector<std::string>& libraries, const std::string& root) {
  GpuMap map;
  std::optional<Nvml> nvml;
  for (const std::string& name : libraries) {
    try {
      nvml.emplace(name);
      break;
    } catch (const Error& e) {
      if (map.missing.empty()) map.missing = e.what();
    }
  }
  if (!nvml) return map;
  map.missing.clear();
  char text[96] = "";
  if (nvml->call("nvmlSystemGetDriverVersion", with<char*, unsigned>(), text, unsigned(sizeof text))) map.driver = text_of(text, sizeof text);
  nvml->call("nvmlSystemGetCudaDriverVersion_v2", with<int*>(), &map.cuda);
  unsigned count = 0;
  nvml->call("nvmlDeviceGetCount_v2", with<unsigned*>(), &count);
  std::vector<Device> devices;
  for (unsigned i = 0; i < std::min(count, kMostBoards); ++i) {
    Device device = nullptr;
    if (!nvml->call("nvmlDeviceGetHandleByIndex_v2", with<unsigned, Device*>(), i, &device)) continue;
    devices.push_back(device);
    map.boards.push_back(read_board(*nvml, device, int(i), root));
  }
  const size_t n = map.boards.size();
  map.path.assign(n, std::vector<std::string>(n, "X"));
  for (size_t a = 0; a < n; ++a)
    for (size_t b = 0; b < n; ++b) {
      if (a == b) continue;
      int level = -1;
      if (const int links = links_between(map.boards[a], map.boards[b]); links > 0) map.path[a][b] = "NV" + std::to_string(links);
      else if (nvml->call("nvmlDeviceGetTopologyCommonAncestor", with<Device, Device, int*>(), devices[a], devices[b], &level))
        map.path[a][b] = name_of_path(level);
      else map.path[a][b] = "?";
    }
  return map;
}

std::vector<int> visible_boards(const GpuMap& map, const std::string& cuda_visible_devices) {
  std::vector<int> boards;
  if (cuda_visible_devices.empty()) {
    for (size_t i = 0; i < map.boards.size(); ++i) boards.push_back(int(i));
    return boards;
  }
  // CUDA stops at the first it does not know.
  for (size_t at = 0; at <= cuda_visible_devices.size();) {
    const size_t end = std::min(cuda_visible_devices.find(',', at), cuda_visible_devices.size());
    const std::string_view word = std::string_view(cuda_visible_devices).substr(at, end - at);
    at = end + 1;
    int found = -1;
    if (word.starts_with("GPU-")) {
      for (size_t i = 0; i < map.boards.size(); ++i)
        if (map.boards[i].uuid.starts_with(word)) found = int(i);
    } else if (!word.empty()) {
      const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), found);
      if (error != std::errc() || stop != word.data() + word.size() || found < 0 || found >= int(map.boards.size())) found = -1;
    }
    if (found < 0) break;
    boards.push_back(found);
  }
  return boards;
}

}  // namespace tw
