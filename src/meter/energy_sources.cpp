#include "src/meter/energy_sources.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "src/core/dynamic_library.h"
#include "src/core/error.h"
#include "src/core/file.h"
#include "src/core/log.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

// A number alone in a file. Error(no_input) or Error(data).
double read_number(const fs::path& path) {
  std::error_code ignored;
  TW_CHECK(fs::is_regular_file(path, ignored), no_input, "{} is no file", path.string());  // a pipe would block
  const std::string text = read_file(path, 4096);
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (at != end && blank(*at)) ++at;
  double value = 0;
  const auto [next, error] = std::from_chars(at, end, value);
  at = next;
  while (at != end && blank(*at)) ++at;
  TW_CHECK(error == std::errc() && at == end && std::isfinite(value) && value >= 0, data,
           "{} does not hold one number, the joules so far", path.string());
  return value;
}

// A file that holds a rising number.
class FileCounter final : public EnergyCounter {
 public:
  // unit: joules of 1. range: the number goes from it to 0; 0 = never.
  FileCounter(fs::path path, double unit, double range)
      : path_(std::move(path)), unit_(unit), range_(range), last_(read_number(path_)) {}

  double joules() override {
    double now = 0;
    try {
      now = read_number(path_);
    } catch (const std::exception& e) {
      warn(e.what());
      return kNoJoules;  // the counter goes on meanwhile: the next read catches up
    }
    double step = now - last_;
    if (step < 0 && range_ > last_) {
      step += range_;
    } else if (step < 0) {
      warn(fmt::format("{} fell from {} to {}: it was reset, the joules of that time are missing", path_.string(),
                       last_, now));
      step = 0;
    }
    last_ = now;
    sum_ += step;
    return sum_ * unit_;
  }

 private:
  void warn(const std::string& why) {
    if (!warned_) log_warning("energy: {}", why);
    warned_ = true;
  }
  fs::path path_;
  double unit_, range_, last_, sum_ = 0;
  bool warned_ = false;
};

// The few entries of NVML that are needed; it is loaded only where a GPU is in use.
class Nvml {
 public:
  using Device = void*;
  explicit Nvml(const std::string& library) : library_(library) {
    library_.load("nvmlInit_v2", init_);
    library_.load("nvmlShutdown", shutdown_);
    library_.load("nvmlErrorString", error_string_);
    library_.load("nvmlDeviceGetHandleByUUID", by_uuid_);
    library_.load("nvmlDeviceGetTotalEnergyConsumption", energy_);
    check(init_(), "nvmlInit");
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;
  ~Nvml() { shutdown_(); }
  Device device(const std::string& uuid) const {
    Device device = nullptr;
    check(by_uuid_(uuid.c_str(), &device), uuid.c_str());
    return device;
  }
  double millijoules(Device device) const {
    unsigned long long value = 0;
    check(energy_(device, &value), "total energy");
    return double(value);
  }

 private:
  void check(int code, const char* what) const { TW_CHECK(code == 0, no_input, "{}: {}", what, error_string_(code)); }
  DynamicLibrary library_;
  int (*init_)() = nullptr;
  int (*shutdown_)() = nullptr;
  const char* (*error_string_)(int) = nullptr;
  int (*by_uuid_)(const char*, Device*) = nullptr;
  int (*energy_)(Device, unsigned long long*) = nullptr;
};

class NvmlCounter final : public EnergyCounter {
 public:
  NvmlCounter(std::shared_ptr<const Nvml> nvml, const std::string& uuid)
      : nvml_(std::move(nvml)), device_(nvml_->device(uuid)), begin_(nvml_->millijoules(device_)) {}
  double joules() override {
    try {
      const double now = nvml_->millijoules(device_);
      if (now >= begin_) return (now - begin_) * 1e-3;
      warn("the GPU's counter was reset");
    } catch (const std::exception& e) {
      warn(e.what());
    }
    return kNoJoules;
  }

 private:
  void warn(const char* why) {
    if (!warned_) log_warning("energy: NVML: {}", why);
    warned_ = true;
  }
  std::shared_ptr<const Nvml> nvml_;
  Nvml::Device device_;
  double begin_;
  bool warned_ = false;
};

}  // namespace

OpenedSource open_rapl(const fs::path& powercap) {
  constexpr std::string_view kPrefix = "intel-rapl:";  // AMD's packages too
  std::vector<fs::path> domains;
  std::error_code error;
  for (fs::directory_iterator at(powercap, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with(kPrefix) && name.find(':', kPrefix.size()) == name.npos) domains.push_back(at->path());
  }
  if (domains.empty())
    return {.text = fmt::format("no RAPL counters: {}", fs::exists(powercap, error)
                                                            ? powercap.string() + " has no intel-rapl"
                                                            : powercap.string() + " does not exist")};
  std::sort(domains.begin(), domains.end());
  OpenedSource source{.wraps = true};
  for (const fs::path& domain : domains) {
    try {
      if (!read_file(domain / "name", 4096).starts_with("package")) continue;
      std::error_code absent;
      const fs::path range = domain / "max_energy_range_uj";
      source.counters.push_back(std::make_unique<FileCounter>(domain / "energy_uj", 1e-6,
                                                              fs::exists(range, absent) ? read_number(range) : 0));
    } catch (const std::exception& e) {
      // One package of several would be half a number.
      return {.text = fmt::format("RAPL is not readable: {} (root may allow it: chmod a+r)", e.what())};
    }
  }
  const size_t n = source.counters.size();
  if (n == 0) return {.text = fmt::format("no RAPL counters: {} has no CPU package", powercap.string())};
  source.text = fmt::format("RAPL, {} CPU package{}", n, n == 1 ? "" : "s");
  return source;
}

OpenedSource open_nvml(const std::string& library, const std::vector<std::string>& gpus) {
  if (gpus.empty()) return {.text = "NVML is not asked: no GPU is in use"};
  OpenedSource source;
  try {
    const auto nvml = std::make_shared<const Nvml>(library);
    for (const std::string& uuid : gpus) source.counters.push_back(std::make_unique<NvmlCounter>(nvml, uuid));
  } catch (const std::exception& e) {
    return {.text = fmt::format("NVML is not usable: {}", e.what())};
  }
  source.text = fmt::format("NVML, {} GPU board{}", gpus.size(), gpus.size() == 1 ? "" : "s");
  return source;
}

OpenedSource open_energy_file(const fs::path& path) {
  OpenedSource source;
  try {
    source.counters.push_back(std::make_unique<FileCounter>(path, 1, 0));
  } catch (const std::exception& e) {
    return {.text = e.what()};
  }
  source.text = fmt::format("counter in {}", path.string());
  return source;
}

}  // namespace tw
