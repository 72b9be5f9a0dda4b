// The counters behind EnergyMeter: NVML, RAPL, a file.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "src/meter/energy.h"

namespace tw {

// What a source gives on this machine: counters, or why there are none.
struct OpenedSource {
  std::vector<std::unique_ptr<EnergyCounter>> counters;
  bool wraps = false;  // must be read now and then, or joules are lost
  std::string text;    // "RAPL, 2 CPU packages"; or where `counters` is empty: why
};

// Package domains of powercap alone: what is nested in them (core, uncore, dram) or lies over them (psys) and
// the copies under intel-rapl-mmio would be counted twice.
OpenedSource open_rapl(const std::filesystem::path& powercap);
// nvmlDeviceGetTotalEnergyConsumption: the whole board, memory included, since Volta.
OpenedSource open_nvml(const std::string& library, const std::vector<std::string>& gpus);
// One number, the joules of this node since any time.
OpenedSource open_energy_file(const std::filesystem::path& path);

}  // namespace tw
