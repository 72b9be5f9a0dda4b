// The GPUs of this node and how they hang together, as NVML tells it.
#pragma once
#include <string>
#include <vector>

namespace tw {

struct GpuBoard {
  int index = 0;          // NVML's: the order of the bus, not CUDA's
  std::string name, uuid, bus_id;
  double memory = 0, memory_used = 0;  // bytes
  int numa_node = -1;     // -1 = not known
  int capability = 0;     // 90 = compute capability 9.0; 0 = not known
  int links = 0;          // NVLinks that are up
  int links_to_switch = 0;  // of these, to an NVSwitch
  std::vector<std::string> link_to;  // bus ids at the other end of the rest
  bool mig = false;
};

struct GpuMap {
  std::string missing;    // why nothing is known: "libnvidia-ml.so.1: cannot open ..."; empty = NVML answered
  std::string driver;     // "580.65.06"
  int cuda = 0;           // newest CUDA the driver runs: 13000
  std::vector<GpuBoard> boards;
  std::vector<std::string> lost;  // boards that NVML counts but that do not answer: "GPU 1: GPU is lost"
  // How two boards reach each other, as nvidia-smi names it: NV4 (four NVLinks), PIX, PXB, PHB, NODE, SYS; "?" unknown.
  std::vector<std::vector<std::string>> path;  // (boards, boards), "X" on the diagonal
};

// libraries: tried in order. root: as in kernel_files.h, for NUMA nodes that NVML does not tell.
GpuMap read_gpu_map(const std::vector<std::string>& libraries, const std::string& root = "/");
// Boards that CUDA_VISIBLE_DEVICES leaves, in its order; all where it is empty. Of parts of boards (MIG) NVML's list
// does not say whose they are: all boards that are divided.
std::vector<int> visible_boards(const GpuMap& map, const std::string& cuda_visible_devices);
// What is wrong with its words: one that names no board, or one twice; empty where nothing is. "-1" and "NoDevFiles"
// are ways to name none.
std::string visible_boards_error(const GpuMap& map, const std::string& cuda_visible_devices);

}  // namespace tw
