#include "src/meter/metrics_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

#include "src/core/clock.h"
#include "src/core/log.h"

namespace tw {
namespace {

struct Connection {
  FileDescriptor socket;
  double deadline;
  std::string request = {}, answer = {};
  size_t sent = 0;
  bool finished = false;
};

std::string response(std::string_view status, std::string_view body, std::string_view more = "") {
  return fmt::format("HTTP/1.1 {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n{}", status,
                     body.size(), more, body);
}

void add(std::string& text, const char* name, const char* type, const char* help, double value) {
  if (std::isnan(value) && std::string_view(type) == "counter") return;
  const std::string number = std::isnan(value) ? "NaN" : std::isinf(value) ? (value > 0 ? "+Inf" : "-Inf") : fmt::format("{:.9g}", value);
  text += fmt::format("# HELP tokenwerk_{0} {1}\n# TYPE tokenwerk_{0} {2}\ntokenwerk_{0} {3}\n", name, help, type, number);
}

// Takes what has come, or sends what can go. Never blocks.
void serve(Connection& c, const std::function<std::string(const std::string&)>& answer) {
  if (c.answer.empty()) {
    char bytes[4096];
    const ssize_t n = ::recv(c.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return void(c.finished = true);
    c.request.append(bytes, size_t(n));
    const bool whole = c.request.find("\r\n\r\n") != std::string::npos || c.request.find("\n\n") != std::string::npos;
    if (c.request.size() > MetricsServer::kLongestRequest) c.answer = response("431 Request Header Fields Too Large", "a request has 8 KiB at most\n");
    else if (whole) c.answer = answer(c.request);
    else return;
    c.deadline = now_seconds() + MetricsServer::kSeconds;
  }
  const ssize_t n = ::send(c.socket.get(), c.answer.data() + c.sent, c.answer.size() - c.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0) c.sent += size_t(n);
  c.finished = n <= 0 || c.sent == c.answer.size();
}

}  // namespace

MetricsServer::MetricsServer(int port, std::function<std::string()> more)
    : more_(std::move(more)),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  TW_CHECK(listener_ && stop_, config, "no socket for metrics.port: {}", std::strerror(errno));
  const int on = 1;
  ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  own.sin_port = htons(uint16_t(port));
  socklen_t length = sizeof own;
  TW_CHECK(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&own), sizeof own) == 0 && ::listen(listener_.get(), 128) == 0 &&
               ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&own), &length) == 0,
           config, "metrics.port = {}: {}", port, std::strerror(errno));
  port_ = ntohs(own.sin_port);
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

MetricsServer::~MetricsServer() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(stop_.get(), &one, sizeof one);
  thread_.join();
}

void MetricsServer::set(const StepMetrics& metrics) {
  const std::lock_guard lock(mutex_);
  step_ = metrics;
}
void MetricsServer::set(const EvalMetrics& metrics) {
  const std::lock_guard lock(mutex_);
  eval_ = metrics;
}

std::string MetricsServer::text() const {
  std::optional<StepMetrics> s;
  std::optional<EvalMetrics> e;
  {
    const std::lock_guard lock(mutex_);
    s = step_, e = eval_;
  }
  std::string t;
  if (s) {
    add(t, "step", "gauge", "Optimiser steps done.", double(s->step));
    add(t, "loss", "gauge", "Mean loss of the step's tokens.", s->loss);
    add(t, "learning_rate", "gauge", "Learning rate of the step.", s->lr);
    add(t, "grad_norm", "gauge", "Norm of the mean gradient before clipping.", s->grad_norm);
    add(t, "tokens_total", "counter", "Tokens trained on, all ranks.", double(s->tokens));
    add(t, "samples_total", "counter", "Samples trained on, all ranks.", double(s->samples));
    add(t, "tokens_per_second", "gauge", "Tokens a second, all ranks.", s->tokens_per_second);
    add(t, "model_flops_per_second", "gauge", "Floating-point operations of the model a second, all ranks.", s->model_flops_per_second);
    if (!std::isnan(s->mfu)) add(t, "mfu", "gauge", "The same as a share of the peak.", s->mfu);
    add(t, "memory_bytes", "gauge", "Largest resident memory of rank 0.", double(s->memory_bytes));
    add(t, "joules_total", "counter", "Energy since this start, all ranks.", s->joules);
    if (!std::isnan(s->joules_per_token)) add(t, "joules_per_token", "gauge", "Energy of a token.", s->joules_per_token);
    if (!std::isnan(s->power_w)) add(t, "power_watts", "gauge", "Power, all ranks.", s->power_w);
    add(t, "skipped_steps_total", "counter", "Steps that were left out.", double(s->skipped));
    add(t, "step_seconds", "gauge", "Seconds of the step.", s->seconds);
    add(t, "sync_wait_seconds", "gauge", "Of which rank 0 waited for other ranks.", s->sync_wait_seconds);
  }
  if (e) {
    add(t, "eval_loss", "gauge", "Held-out loss.", e->loss);
    add(t, "eval_perplexity", "gauge", "Held-out perplexity.", e->perplexity);
    if (!std::isnan(e->bits_per_byte)) add(t, "eval_bits_per_byte", "gauge", "Held-out bits a byte of text.", e->bits_per_byte);
  }
  return more_ ? t + more_() : t;
}

std::string http_response(std::string_view request, const std::function<std::string()>& metrics) {
  const std::string_view line = request.substr(0, request.find_first_of("\r\n"));
  const size_t first = line.find(' '), second = line.find(' ', first == line.npos ? line.npos : first + 1);
  if (second == line.npos || !line.substr(second + 1).starts_with("HTTP/1.")) return response("400 Bad Request", "this is no HTTP request\n");
  if (line.substr(0, first) != "GET") return response("405 Method Not Allowed", "GET alone\n", "Allow: GET\r\n");
  std::string_view path = line.substr(first + 1, second - first - 1);
  path = path.substr(0, path.find('?'));
  if (path == "/") return response("200 OK", "tokenwerk: /metrics\n");
  return path == "/metrics" ? response("200 OK", metrics()) : response("404 Not Found", "there is /metrics alone\n");
}

void MetricsServer::run() {
  ::pthread_setname_np(::pthread_self(), "metrics");
  std::vector<Connection> connections;
  std::vector<pollfd> events;
  const auto answers = [this](const std::string& request) { return http_response(request, [this] { return text(); }); };
  for (;;) {
    events = {{stop_.get(), POLLIN, 0}, {connections.size() < kMostConnections ? listener_.get() : -1, POLLIN, 0}};
    double next = now_seconds() + 3600;
    for (const Connection& c : connections) {
      events.push_back({c.socket.get(), short(c.answer.empty() ? POLLIN : POLLOUT), 0});
      next = std::min(next, c.deadline);
    }
    ::poll(events.data(), events.size(), int(std::max(0.0, next - now_seconds()) * 1000) + 1);
    if (events[0].revents) return;
    const double now = now_seconds();
    try {
      for (size_t i = 0; i < connections.size(); ++i) {
        if (events[i + 2].revents) serve(connections[i], answers);
        connections[i].finished |= now > connections[i].deadline;
      }
      std::erase_if(connections, [](const Connection& c) { return c.finished; });
      while (events[1].revents && connections.size() < kMostConnections) {
        FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket) {
          // Out of descriptors: the queue stays ready, which must not cost a core.
          if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) ::usleep(100000);
          break;
        }
        connections.push_back({.socket = std::move(socket), .deadline = now + kSeconds});
      }
    } catch (const std::exception& e) {  // of memory
      log_debug("metrics.port: {}", e.what());
      connections.clear();
    }
  }
}

}  // namespace tw
