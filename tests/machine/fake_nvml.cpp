// The entries of NVML that a map of GPUs is made of. TW_FAKE_GPUS has a line for each board, as the test wants it:
//   UUID BUS_ID TOTAL_BYTES USED_BYTES MAJOR MINOR LINKS
// LINKS: "-", or for each link "switch" or the bus id at its other end, with commas. A line "lost" does not answer.
// TW_FAKE_PATHS: two numbers, how far any board is from one behind it, and the way back.
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace {

struct Board {
  std::string uuid, bus_id;
  unsigned long long total = 0, used = 0;
  int major = 0, minor = 0;
  std::vector<std::string> links;
};
std::vector<Board> boards;

struct Pci {
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device, pci_subsystem;
  char bus_id[32];
};
struct Memory {
  unsigned long long total, free, used;
};

Board& board(void* device) { return *static_cast<Board*>(device); }
int copy(const std::string& text, char* to, unsigned bytes) {
  if (text.size() + 1 > bytes) return 7;
  std::strcpy(to, text.c_str());
  return 0;
}

}  // namespace

extern "C" {
int nvmlInit_v2() {
  const char* text = std::getenv("TW_FAKE_GPUS");
  if (!text) return 9;  // the driver is not loaded
  boards.clear();
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    Board b;
    std::string links;
    std::istringstream words(line);
    words >> b.uuid >> b.bus_id >> b.total >> b.used >> b.major >> b.minor >> links;
    std::istringstream ends(links == "-" ? "" : links);
    for (std::string end; std::getline(ends, end, ',');) b.links.push_back(end);
    boards.push_back(b);
  }
  return 0;
}
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int code) { return code == 15 ? "GPU is lost" : "Driver Not Loaded"; }
int nvmlSystemGetDriverVersion(char* text, unsigned bytes) { return copy("580.65.06", text, bytes); }
int nvmlSystemGetCudaDriverVersion_v2(int* version) { return *version = 12040, 0; }
int nvmlDeviceGetCount_v2(unsigned* count) {
  const char* text = std::getenv("TW_FAKE_COUNT");
  *count = text ? unsigned(std::strtoul(text, nullptr, 10)) : unsigned(boards.size());
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void** device) {
  if (i >= boards.size() || boards[i].uuid == "lost") return 15;
  *device = &boards[i];
  return 0;
}
int nvmlDeviceGetName(void*, char* text, unsigned bytes) { return copy("Fake GPU", text, bytes); }
int nvmlDeviceGetUUID(void* device, char* text, unsigned bytes) { return copy(board(device).uuid, text, bytes); }
int nvmlDeviceGetPciInfo_v3(void* device, Pci* pci) { return copy(board(device).bus_id, pci->bus_id, sizeof pci->bus_id); }
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  *memory = {board(device).total, board(device).total - board(device).used, board(device).used};
  return 0;
}
int nvmlDeviceGetCudaComputeCapability(void* device, int* major, int* minor) {
  *major = board(device).major, *minor = board(device).minor;
  return 0;
}
int nvmlDeviceGetNvLinkState(void* device, unsigned link, int* up) {
  if (link >= board(device).links.size()) return 2;
  return *up = 1, 0;
}
int nvmlDeviceGetNvLinkRemoteDeviceType(void* device, unsigned link, int* type) {
  return *type = board(device).links[link] == "switch" ? 2 : 0, 0;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void* device, unsigned link, Pci* pci) { return copy(board(device).links[link], pci->bus_id, sizeof pci->bus_id); }
int nvmlDeviceGetTopologyCommonAncestor(void* a, void* b, int* level) {
  const char* text = std::getenv("TW_FAKE_PATHS");
  if (!text) return 3;
  int there = 0, back = 0;
  std::istringstream(text) >> there >> back;
  *level = a < b ? there : back;
  return 0;
}

// Versions, as the driver and the libraries of CUDA tell them.
int cuDriverGetVersion(int* version) { return *version = 12040, 0; }
int cudaRuntimeGetVersion(int* version) { return *version = 13000, 0; }
int ncclGetVersion(int* version) { return *version = 22809, 0; }
size_t cudnnGetVersion() { return 91900; }
}
