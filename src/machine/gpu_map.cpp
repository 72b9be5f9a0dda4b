#include "src/machine/gpu_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "src/core/dynamic_library.h"
#include "src/core/format.h"
#include "src/core/utf8.h"
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
    TW_CHECK(code == 0, no_input, "NVML does not start: {}", text_of_error(code));
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
  std::string text_of_error(int code) const {
    const char* text = error_string_(code);
    return text ? text : fmt::format("error {}", code);
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
  id = ascii_lower(id);
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
    const auto handle = nvml->library.find<int (*)(unsigned, Device*)>("nvmlDeviceGetHandleByIndex_v2");
    if (const int code = handle ? handle(i, &device) : -1; code != 0) {
      map.lost.push_back(fmt::format("GPU {}: {}", i, handle ? nvml->text_of_error(code) : "this NVML is too old"));
      continue;
    }
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

namespace {

std::vector<std::string_view> words_between_commas(std::string_view text) {
  std::vector<std::string_view> words;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    std::string_view word = text.substr(at, end - at);
    while (word.starts_with(' ')) word.remove_prefix(1);
    words.push_back(word);
    at = end + 1;
  }
  return words;
}

bool part_of_board(std::string_view word) { return word.starts_with("MIG-"); }

// -1 where the word names none, or several. A number may be followed by anything, as CUDA reads it.
int board_named(const GpuMap& map, std::string_view word) {
  int found = -1;
  if (word.starts_with("GPU-")) {
    for (size_t i = 0; i < map.boards.size(); ++i) {
      if (!map.boards[i].uuid.starts_with(word)) continue;
      if (found >= 0) return -1;
      found = int(i);
    }
    return found;
  }
  const auto error = std::from_chars(word.data(), word.data() + word.size(), found).ec;
  return error == std::errc() && found >= 0 && found < int(map.boards.size()) ? found : -1;
}

}  // namespace

std::vector<int> visible_boards(const GpuMap& map, const std::string& cuda_visible_devices) {
  std::vector<int> boards;
  const auto add_all = [&](auto&& wanted) {
    for (size_t i = 0; i < map.boards.size(); ++i)
      if (wanted(map.boards[i])) boards.push_back(int(i));
  };
  if (cuda_visible_devices.empty()) {
    add_all([](const GpuBoard&) { return true; });
    return boards;
  }
  // CUDA stops at the first it does not know, and takes none where one is named twice.
  for (const std::string_view word : words_between_commas(cuda_visible_devices)) {
    if (part_of_board(word)) {
      boards.clear();
      add_all([](const GpuBoard& b) { return b.mig; });
      break;
    }
    const int found = board_named(map, word);
    if (found < 0) break;
    if (std::find(boards.begin(), boards.end(), found) != boards.end()) return {};
    boards.push_back(found);
  }
  return boards;
}

std::string visible_boards_error(const GpuMap& map, const std::string& cuda_visible_devices) {
  if (cuda_visible_devices.empty()) return "";
  std::vector<int> seen;
  for (const std::string_view word : words_between_commas(cuda_visible_devices)) {
    if (part_of_board(word) || word == "-1" || word == "NoDevFiles") return "";
    const int found = board_named(map, word);
    if (found < 0) return fmt::format("\"{}\" is no board here, and CUDA stops there", shortened(std::string(word), 40));
    if (std::find(seen.begin(), seen.end(), found) != seen.end()) return fmt::format("\"{}\" is named twice, and CUDA then takes none", word);
    seen.push_back(found);
  }
  return "";
}

}  // namespace tw
