#include "src/watchdog/datagrams.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <limits>

namespace tw {
namespace {

Contact contact(const Datagrams& d, const std::string& node = "here") {
  Contact c{.host = "h", .node = node, .pid = 1};
  sockaddr_in a{};
  a.sin_family = AF_INET, a.sin_addr.s_addr = htonl(INADDR_LOOPBACK), a.sin_port = htons(d.port());
  c.addresses = {a};
  return c;
}

bool arrives(Datagrams& d, Datagrams::Received& out) {
  pollfd event{d.fd(), POLLIN, 0};
  ::poll(&event, 1, 2000);
  return d.receive(out);
}

TEST(Datagrams, CarryBeatsAndVerdicts) {
  Datagrams a({1, 2}, 0, true), b({1, 2}, 1, true);
  for (Datagrams* d : {&a, &b}) d->set_peers({contact(a), contact(b)}, "here");
  Beat beat;
  beat.step = 17, beat.collectives = 99, beat.phase = uint8_t(WorkPhase::backward), beat.idle = 2.5f;
  a.send(1, beat);
  Datagrams::Received got;
  ASSERT_TRUE(arrives(b, got));
  EXPECT_EQ(got.header.kind, BeatHeader::beat);
  EXPECT_EQ(got.header.rank, 0);
  EXPECT_EQ(got.beat.step, 17);
  EXPECT_EQ(got.beat.idle, 2.5f);
  Verdict verdict{.exit_code = 80, .culprit = 1, .reason = "because"};
  b.send(0, verdict);
  ASSERT_TRUE(arrives(a, got));
  EXPECT_EQ(got.header.kind, BeatHeader::verdict);
  EXPECT_STREQ(got.verdict.reason, "because");
  EXPECT_FALSE(a.receive(got));
}

TEST(Datagrams, AreSentToAllAddressesUntilOneAnswers) {
  Datagrams a({1, 2}, 0, true), b({1, 2}, 1, true);
  Contact far = contact(b, "there");
  sockaddr_in dead = far.addresses[0];
  ::inet_pton(AF_INET, "127.0.0.9", &dead.sin_addr);
  far.addresses.insert(far.addresses.begin(), dead);
  a.set_peers({contact(a), far}, "here");
  b.set_peers({contact(a, "elsewhere"), contact(b)}, "there");
  a.send(1, Beat{});
  Datagrams::Received got;
  ASSERT_TRUE(arrives(b, got));
  b.send(0, Beat{});
  ASSERT_TRUE(arrives(a, got));
  EXPECT_EQ(got.header.rank, 1);
}

// What anybody may send to the port.
TEST(Datagrams, OfOthersAreRefused) {
  Datagrams a({1, 2}, 0, true), stranger({1, 3}, 1, true);
  a.set_peers({contact(a), contact(stranger)}, "here");
  stranger.set_peers({contact(a), contact(stranger)}, "here");
  stranger.send(0, Beat{});
  stranger.send(0, Verdict{.exit_code = 69});
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  const sockaddr_in to = contact(a).addresses[0];
  const auto raw = [&](const void* data, size_t bytes) {
    ::sendto(socket, data, bytes, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  };
  raw("", 0);
  raw("GET / HTTP/1.1\r\n\r\n", 18);
  raw(std::string(2000, 'x').data(), 2000);
  BeatHeader header{.token = {1, 2}, .kind = BeatHeader::beat, .rank = 1, .number = 1};  // with the token, but not whole
  raw(&header, sizeof header);
  Beat outside;
  outside.header = {.token = {1, 2}, .kind = BeatHeader::beat, .rank = 2, .number = 1};  // no such rank
  raw(&outside, sizeof outside);
  Verdict harmless{.header = {.token = {1, 2}, .kind = BeatHeader::verdict, .rank = 1, .number = 1}, .exit_code = 0};
  raw(&harmless, sizeof harmless);
  Beat odd;  // a damaged one of ours: taken, and made sane
  odd.header = {.token = {1, 2}, .kind = BeatHeader::beat, .rank = 1, .number = 1};
  odd.phase = 200, odd.idle = std::numeric_limits<float>::quiet_NaN(), odd.own = -5, odd.mate_state = MateState(77);
  std::fill(std::begin(odd.collective), std::end(odd.collective), char(0x1b));
  raw(&odd, sizeof odd);
  ::close(socket);
  Datagrams::Received got;
  ASSERT_TRUE(arrives(a, got));
  EXPECT_EQ(got.header.rank, 1);
  EXPECT_EQ(got.beat.phase, 0);
  EXPECT_EQ(got.beat.idle, 0);
  EXPECT_EQ(got.beat.own, 0);
  EXPECT_EQ(got.beat.mate_state, MateState::unknown);
  EXPECT_EQ(std::string(got.beat.collective), std::string(14, '?'));
  EXPECT_FALSE(a.receive(got));
  EXPECT_EQ(a.refused(), 8);
}

TEST(Datagrams, ContactsGoOverMpiAsText) {
  Datagrams d({1, 2}, 0, true);
  const Contact c = contact(d), back = Contact::parse(c.text());
  EXPECT_EQ(back.host, c.host);
  EXPECT_EQ(back.node, c.node);
  EXPECT_EQ(back.pid, c.pid);
  ASSERT_EQ(back.addresses.size(), 1u);
  EXPECT_EQ(back.addresses[0].sin_port, c.addresses[0].sin_port);
  EXPECT_EQ(back.addresses[0].sin_addr.s_addr, c.addresses[0].sin_addr.s_addr);
  EXPECT_THROW(Contact::parse("h"), Error);
}

TEST(Datagrams, InterfacesOfMpiAreTaken) {
  ::setenv("OMPI_MCA_btl_tcp_if_include", "nosuch0", 1);
  const size_t all = own_addresses().size();
  ::setenv("OMPI_MCA_btl_tcp_if_include", "0.0.0.0/0", 1);
  EXPECT_EQ(own_addresses().size(), all);
  ::unsetenv("OMPI_MCA_btl_tcp_if_include");
  EXPECT_EQ(own_addresses().size(), all);
  for (const in_addr a : own_addresses()) EXPECT_NE(ntohl(a.s_addr) >> 24, 127u);
}

}  // namespace
}  // namespace tw
