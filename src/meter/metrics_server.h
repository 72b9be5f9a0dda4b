// The figures of metrics.jsonl for Prometheus: GET /metrics on 127.0.0.1, text format 0.0.4. For machines of this host alone; a
// site that wants more puts its own proxy before it. A thread of its own: no client, slow or hostile, holds up a step.
#pragma once
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "src/core/file.h"
#include "src/meter/metrics_log.h"

namespace tw {

// The whole response to a whole request; metrics: what /metrics answers.
std::string http_response(std::string_view request, const std::function<std::string()>& metrics);

class MetricsServer {
 public:
  static constexpr size_t kMostConnections = 64;    // more wait in the kernel's queue
  static constexpr size_t kLongestRequest = 8192;   // bytes; then 431
  static constexpr double kSeconds = 2;             // for a request, and for its answer

  // port 0: any that is free. more: further lines, asked for at each request, by this thread. Error(config) where the port
  // cannot be had.
  MetricsServer(int port, std::function<std::string()> more);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  int port() const noexcept { return port_; }
  void set(const StepMetrics& metrics);
  void set(const EvalMetrics& metrics);

 private:
  void run();
  std::string text() const;

  std::function<std::string()> more_;
  FileDescriptor listener_, stop_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::optional<StepMetrics> step_;
  std::optional<EvalMetrics> eval_;
  std::thread thread_;
};

}  // namespace tw
