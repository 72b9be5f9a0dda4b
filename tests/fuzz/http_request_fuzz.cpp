// What a client of metrics.port may send.
#include "src/meter/metrics_server.h"
#include "tests/fuzz/fuzz.h"

TW_FUZZ_TARGET(http_request) {
  const std::string answer = http_response(input, [] { return std::string("tokenwerk_step 1\n"); });
  expect(answer.starts_with("HTTP/1.1 ") && answer.find("\r\n\r\n") != std::string::npos, "an answer is HTTP");
  const bool metrics = answer.find("tokenwerk_step") != std::string::npos;
  expect(!metrics || input.starts_with("GET /metrics"), "metrics are for those who ask for them");
  expect(answer.size() < 1000, "nothing of a request comes back");
}
