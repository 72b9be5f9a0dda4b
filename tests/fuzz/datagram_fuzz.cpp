// What comes to the watchdog's socket: datagrams of anyone, and with the run's token (which others on the network can see) beats, verdicts
// and goodbyes of any content. An input is a sequence of them, each behind a byte that says how it begins and one with its length.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cmath>
#include <cstring>

#include "src/core/file.h"
#include "src/watchdog/datagrams.h"
#include "src/watchdog/detector.h"
#include "tests/fuzz/fuzz.h"

namespace tw::fuzz {
namespace {

constexpr int kRanks = 4;
constexpr RunToken kToken{0x0123456789abcdef, 42};

void check(const Beat& b) {
  expect(::memchr(b.collective, 0, sizeof b.collective), "a name ends");
  expect(b.phase < kWorkPhases, "a phase is one");
  for (const float seconds : {b.heard_ago, b.idle, b.excused, b.usual_step, b.own}) expect(std::isfinite(seconds) && seconds >= -1, "seconds are a number");
}

}  // namespace
}  // namespace tw::fuzz

TW_FUZZ_TARGET(datagram) {
  static Datagrams socket(kToken, 0, true);
  static const FileDescriptor sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  static const bool connected = [] {
    sockaddr_in to{};
    to.sin_family = AF_INET, to.sin_addr.s_addr = htonl(INADDR_LOOPBACK), to.sin_port = htons(socket.port());
    return ::connect(sender.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }();
  expect(connected, "there is a loopback");
  socket.set_peers(std::vector<Contact>(kRanks), "elsewhere");
  Detector detector(std::vector<RankInfo>(kRanks, RankInfo{"host", 1}), 0, {1, 2, 3}, Patience{}, true);
  double now = 1;
  while (input.size() >= 2) {
    const auto how = uint8_t(input[0]);
    const size_t wanted = size_t(uint8_t(input[1])) * 4;
    input.remove_prefix(2);
    const std::string_view content = input.substr(0, wanted);
    input.remove_prefix(content.size());
    std::string bytes(content);
    if (how & 1) {
      const BeatHeader header{.token = kToken, .kind = uint32_t(how >> 1 & 3), .rank = how >> 3 & 7, .number = uint64_t(now * 4)};
      bytes.insert(0, reinterpret_cast<const char*>(&header), sizeof header);
      // A whole one of its kind, where the input does not say otherwise.
      const size_t whole = header.kind == BeatHeader::beat ? sizeof(Beat) : header.kind == BeatHeader::verdict ? sizeof(Verdict) : sizeof(Done);
      if (how & 64) bytes.resize(whole);
    }
    if (::send(sender.get(), bytes.data(), bytes.size(), 0) < 0) continue;
    now += how & 128 ? 3 : 0.25;
    Datagrams::Received got;
    while (socket.receive(got)) {
      expect(got.header.rank > 0 && got.header.rank < kRanks, "a rank is one of the others");
      if (got.header.kind == BeatHeader::beat) check(got.beat), detector.heard(got.header.rank, got.beat, now);
      if (got.header.kind == BeatHeader::verdict) expect(::memchr(got.verdict.reason, 0, sizeof got.verdict.reason), "a reason ends");
    }
    if (const auto found = detector.judge(now)) expect(found->reason.size() < 4000, "a finding is a sentence");
    use(detector.table(now, {1}).data());
    for (const std::string& sentence : detector.stragglers()) expect(sentence.size() < 1000, "a warning is a sentence");
  }
}
