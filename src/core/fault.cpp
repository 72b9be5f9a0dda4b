#include "src/core/fault.h"

#if defined(TW_FAULT_POINTS)
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "src/core/error.h"
#include "src/core/log.h"
#include "src/core/rng.h"

namespace tw {
namespace {

struct Fault {
  std::string point, rank, action;
  long pass = 0;
  uint64_t seed = 0;
  std::atomic<long> passes{0};

  explicit Fault(std::string s) {
    std::string parts[5];
    for (int i = 0; i < 5 && !s.empty(); ++i) {
      const size_t colon = i < 4 ? s.find(':') : std::string::npos;
      parts[i] = s.substr(0, colon);
      s = colon == std::string::npos ? "" : s.substr(colon + 1);
    }
    point = parts[0], rank = parts[1].empty() ? "*" : parts[1];
    pass = parts[2].empty() ? 1 : std::strtol(parts[2].c_str(), nullptr, 10);
    action = parts[3].empty() ? "kill" : parts[3];
    seed = std::strtoull(parts[4].c_str(), nullptr, 10);
  }
  bool flips() const { return action == "flip" || action == "flips"; }
  // The number of this pass, from 1; 0 where the fault is elsewhere.
  long passes_at(const char* name) {
    if (point.empty() || point != name) return 0;
    if (rank != "*" && rank != std::to_string(log_rank() < 0 ? 0 : log_rank())) return 0;
    return ++passes;
  }
};

std::unique_ptr<Fault>& fault() {
  static std::unique_ptr<Fault> the = [] {
    const char* text = std::getenv("TW_FAULT");
    return std::make_unique<Fault>(text ? text : "");
  }();
  return the;
}

std::mutex flip_mutex_;
std::string last_flip_;

}  // namespace

void set_fault(const std::string& text) {
  fault() = std::make_unique<Fault>(text);
  last_flip_.clear();
}

std::string last_flip() {
  const std::lock_guard lock(flip_mutex_);
  return last_flip_;
}

long fault_passes() { return fault()->passes; }

void fault_point(const char* name) {
  Fault& f = *fault();
  const long pass = f.passes_at(name);
  if (f.action == "slow" && pass > f.pass) ::usleep(50000);
  if (pass == 0 || pass != f.pass || f.flips()) return;
  if (f.action == "error") TW_FAIL(io, "fault point {} fired", name);
  if (f.action == "exit") ::_exit(70);
  if (f.action == "slow") return void(::usleep(50000));
  if (f.action == "sleep" || f.action == "loop") log_warning("fault point {}: {}", name, f.action);
  if (f.action == "sleep")
    for (;;) ::pause();
  if (f.action == "loop")
    for (std::atomic<long> turns{0};; ++turns) {}
  ::kill(::getpid(), f.action == "stop" ? SIGSTOP : SIGKILL);
}

void fault_memory(const char* name, View memory, const Stream& stream) {
  Fault& f = *fault();
  const long pass = f.passes_at(name);
  if (pass == 0 || !f.flips() || memory.bytes() == 0 || (f.action == "flip" ? pass != f.pass : pass < f.pass)) return;
  const Rng rng{f.seed, RngStream::test, uint32_t(pass)};
  const uint64_t bit = rng.bits64(0) % (8 * memory.bytes());
  uint8_t byte = 0;
  const View at(static_cast<char*>(memory.data) + bit / 8, DType::u8, {1}, memory.device), host(&byte, DType::u8, {1});
  copy(at, host, stream);
  synchronize(stream);
  const uint8_t was = byte;
  byte = uint8_t(byte ^ 1u << bit % 8);
  copy(host, at, stream);
  synchronize(stream);
  const std::lock_guard lock(flip_mutex_);
  last_flip_ = fmt::format("{} byte {} bit {}: {:02x} -> {:02x}", name, bit / 8, bit % 8, was, byte);
}

}  // namespace tw
#endif
