#include "src/meter/metrics_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <limits>

#include "src/core/clock.h"

namespace tw {
namespace {

int connect_to(int port) {
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET, to.sin_port = htons(uint16_t(port)), to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(s, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) return s;
  ::close(s);
  return -1;
}

// All that comes until the other side closes, 20 s at most.
std::string receive_all(int s) {
  std::string text;
  char bytes[4096];
  const double end = now_seconds() + 20;
  while (now_seconds() < end) {
    pollfd event{s, POLLIN, 0};
    if (::poll(&event, 1, 100) == 0) continue;
    const ssize_t n = ::recv(s, bytes, sizeof bytes, 0);
    if (n <= 0) return text;
    text.append(bytes, size_t(n));
  }
  return text + "<still open>";
}

std::string ask(int port, const std::string& request) {
  const int s = connect_to(port);
  if (s < 0) return "<no connection>";
  ::send(s, request.data(), request.size(), MSG_NOSIGNAL);
  const std::string text = receive_all(s);
  ::close(s);
  return text;
}
const char* const kGet = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

StepMetrics step_7() { return {.step = 7, .loss = 2.5f, .lr = 1e-3f, .grad_norm = 0.5f, .tokens = 7168, .samples = 56, .tokens_per_second = 1234.5, .memory_bytes = 1 << 20, .seconds = 0.25}; }

TEST(MetricsServer, ShowsTheFiguresOfTheLastLine) {
  MetricsServer server(0, [] { return std::string("tokenwerk_rank_step{rank=\"1\"} 6\n"); });
  EXPECT_EQ(ask(server.port(), kGet).find("tokenwerk_loss"), std::string::npos) << "nothing is known yet";
  server.set(step_7());
  const std::string text = ask(server.port(), kGet);
  EXPECT_TRUE(text.starts_with("HTTP/1.1 200 OK\r\n")) << text;
  EXPECT_NE(text.find("Content-Type: text/plain; version=0.0.4"), std::string::npos) << text;
  EXPECT_NE(text.find("\n# TYPE tokenwerk_loss gauge\ntokenwerk_loss 2.5\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\n# TYPE tokenwerk_tokens_total counter\ntokenwerk_tokens_total 7168\n"), std::string::npos) << text;
  EXPECT_NE(text.find("tokenwerk_rank_step{rank=\"1\"} 6\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("joules"), std::string::npos) << "no meter, no joules: " << text;
  server.set(EvalMetrics{.step = 7, .loss = 3, .perplexity = 20.1});
  EXPECT_NE(ask(server.port(), kGet).find("tokenwerk_eval_loss 3\n"), std::string::npos);
  const size_t body = text.find("\r\n\r\n") + 4;
  EXPECT_NE(text.find(fmt::format("Content-Length: {}\r\n", text.size() - body)), std::string::npos) << text;
}

TEST(MetricsServer, NotANumberIsOne) {
  MetricsServer server(0, {});
  StepMetrics m = step_7();
  m.loss = std::numeric_limits<float>::quiet_NaN(), m.grad_norm = std::numeric_limits<float>::infinity();
  server.set(m);
  const std::string text = ask(server.port(), kGet);
  EXPECT_NE(text.find("tokenwerk_loss NaN\n"), std::string::npos) << text;
  EXPECT_NE(text.find("tokenwerk_grad_norm +Inf\n"), std::string::npos) << text;
}

TEST(MetricsServer, RefusesWhatIsNoGet) {
  MetricsServer server(0, {});
  EXPECT_TRUE(ask(server.port(), "POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").starts_with("HTTP/1.1 405"));
  EXPECT_TRUE(ask(server.port(), "GET /../etc/passwd HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
  EXPECT_TRUE(ask(server.port(), "GET /metrics?x=1 HTTP/1.0\n\n").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(ask(server.port(), std::string("\x16\x03\x01\x02\x00\x01\r\n\r\n", 10)).starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(ask(server.port(), "\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(ask(server.port(), "GET\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(ask(server.port(), "GET /metrics HTTP/1.1\r\nX: " + std::string(9000, 'x')).starts_with("HTTP/1.1 431"));
  EXPECT_TRUE(ask(server.port(), kGet).starts_with("HTTP/1.1 200")) << "and goes on";
}

TEST(MetricsServer, ListensOnTheLoopbackAlone) {
  MetricsServer server(0, {});
  // 127.0.0.1 is the only address: not even another one of the loopback network.
  const int s = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET, to.sin_port = htons(uint16_t(server.port()));
  ::inet_pton(AF_INET, "127.0.0.2", &to.sin_addr);
  EXPECT_NE(::connect(s, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  ::close(s);
  EXPECT_THROW(MetricsServer(server.port(), {}), Error) << "the port is taken";
}

// A thousand clients of all kinds; meanwhile the trainer's side never waits, and an honest client is answered.
TEST(MetricsServer, OutlivesManySlowAndHostileClients) {
  MetricsServer server(0, {});
  server.set(step_7());
  std::vector<int> slow;
  for (int i = 0; i < 40; ++i) {  // a letter, then silence
    const int s = connect_to(server.port());
    if (s >= 0) ::send(s, "G", 1, MSG_NOSIGNAL), slow.push_back(s);
  }
  EXPECT_TRUE(ask(server.port(), kGet).starts_with("HTTP/1.1 200"));
  int answered = 0;
  for (int i = 0; i < 1000; ++i) {
    const int s = connect_to(server.port());
    ASSERT_GE(s, 0);
    if (i % 3 == 0) {
      ::send(s, kGet, std::char_traits<char>::length(kGet), MSG_NOSIGNAL);
      answered += receive_all(s).starts_with("HTTP/1.1 200");
    } else if (i % 3 == 1) {  // garbage, and gone
      const std::string garbage(static_cast<size_t>(i), static_cast<char>(i));
      ::send(s, garbage.data(), garbage.size(), MSG_NOSIGNAL);
    }
    ::close(s);
    server.set(step_7());
  }
  EXPECT_EQ(answered, 334);
  for (const int s : slow) {
    EXPECT_EQ(receive_all(s), "") << "a slow client is put out";
    ::close(s);
  }
  EXPECT_TRUE(ask(server.port(), kGet).starts_with("HTTP/1.1 200"));
}

TEST(MetricsServer, AClientThatDoesNotReadIsPutOut) {
  const std::string large(64 << 20, 'x');
  MetricsServer server(0, [&] { return large; });
  const int s = connect_to(server.port());
  ::send(s, kGet, std::char_traits<char>::length(kGet), MSG_NOSIGNAL);
  ::usleep(3'000'000);
  EXPECT_LT(receive_all(s).size(), large.size());
  ::close(s);
  EXPECT_GT(ask(server.port(), kGet).size(), large.size());
}

}  // namespace
}  // namespace tw
