// The five entries of NVML that EnergyMeter asks for.
#include <cstdlib>
#include <cstring>

namespace {
struct Board {
  const char* uuid;
  const char* variable;  // millijoules
};
Board boards[] = {{"GPU-a", "TW_FAKE_NVML_A"}, {"GPU-b", "TW_FAKE_NVML_B"}};
}  // namespace

extern "C" {
int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int) { return "Not Found"; }
int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  for (Board& board : boards)
    if (std::strcmp(board.uuid, uuid) == 0) {
      *device = &board;
      return 0;
    }
  return 6;
}
int nvmlDeviceGetTotalEnergyConsumption(void* device, unsigned long long* energy) {
  const char* text = std::getenv(static_cast<Board*>(device)->variable);
  if (!text) return 3;
  *energy = std::strtoull(text, nullptr, 10);
  return 0;
}
}
