#include "src/watchdog/datagrams.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "src/core/host.h"

namespace tw {
namespace {

constexpr size_t kMostAddresses = 4;

std::vector<std::string> parts_of(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

// wanted: a name, or a network as 10.0.0.0/8.
bool matches(const std::string& wanted, const char* name, in_addr address) {
  const size_t slash = wanted.find('/');
  in_addr network{};
  if (slash == std::string::npos || ::inet_pton(AF_INET, wanted.substr(0, slash).c_str(), &network) != 1) return wanted == name;
  const int bits = std::clamp(std::atoi(wanted.c_str() + slash + 1), 0, 32);
  const uint32_t mask = bits == 0 ? 0 : ~uint32_t(0) << (32 - bits);
  return (ntohl(network.s_addr) & mask) == (ntohl(address.s_addr) & mask);
}

template <class T>
void take(const char* bytes, T& out) {
  std::memcpy(&out, bytes, sizeof out);
}

// A number of the network is a number.
void make_sane(Beat& b) {
  b.collective[sizeof b.collective - 1] = 0;
  for (char* c = b.collective; *c; ++c)
    if (*c < ' ' || *c > '~') *c = '?';
  if (b.phase >= kWorkPhases) b.phase = 0;
  if (b.mate_state > MateState::gone) b.mate_state = MateState::unknown;
  const auto finite = [](float& v, float least) { v = std::isfinite(v) ? std::clamp(v, least, 1e9f) : least; };
  finite(b.heard_ago, -1), finite(b.idle, 0), finite(b.excused, 0), finite(b.usual_step, 0), finite(b.own, 0);
  for (float& v : b.own_of) finite(v, 0);
}

}  // namespace

std::string node_identity() { return boot_id() + '+' + host_name() + '+' + namespace_id("pid") + '+' + namespace_id("net"); }

std::vector<in_addr> own_addresses() {
  const char* told = std::getenv("OMPI_MCA_btl_tcp_if_include");
  const std::vector<std::string> wanted = parts_of(told ? told : "", ',');
  std::vector<in_addr> all, chosen;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  for (const ifaddrs* i = list; i; i = i->ifa_next) {
    if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK)) continue;
    sockaddr_in address;
    std::memcpy(&address, i->ifa_addr, sizeof address);
    all.push_back(address.sin_addr);
    for (const std::string& w : wanted)
      if (matches(w, i->ifa_name, address.sin_addr)) {
        chosen.push_back(address.sin_addr);
        break;
      }
  }
  ::freeifaddrs(list);
  if (chosen.empty()) chosen = all;
  if (chosen.size() > kMostAddresses) chosen.resize(kMostAddresses);
  return chosen;
}

std::string Contact::text() const {
  std::string t = fmt::format("{}|{}|{}", host, node, pid);
  for (const sockaddr_in& a : addresses) t += fmt::format("|{}:{}", ntohl(a.sin_addr.s_addr), ntohs(a.sin_port));
  return t;
}

Contact Contact::parse(const std::string& text) {
  const std::vector<std::string> parts = parts_of(text, '|');
  TW_CHECK(parts.size() >= 3, bug, "\"{}\" is no address of a rank", text);
  Contact c{.host = parts[0], .node = parts[1], .pid = std::strtoll(parts[2].c_str(), nullptr, 10)};
  for (size_t i = 3; i < parts.size(); ++i) {
    char* end = nullptr;
    const unsigned long address = std::strtoul(parts[i].c_str(), &end, 10);
    TW_CHECK(*end == ':', bug, "\"{}\" is no address of a rank", text);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(uint32_t(address));
    a.sin_port = htons(uint16_t(std::strtoul(end + 1, nullptr, 10)));
    c.addresses.push_back(a);
  }
  return c;
}

Datagrams::Datagrams(RunToken token, int rank, bool loopback)
    : token_(token), rank_(rank), socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  TW_CHECK(socket_, config, "no UDP socket for the watchdog: {}; --watchdog.enabled false runs without it", std::strerror(errno));
  // Where it is allowed, room for the beats of thousands of ranks.
  const int bytes = 4 << 20;
  if (::setsockopt(fd(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0) ::setsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(loopback ? INADDR_LOOPBACK : INADDR_ANY);
  socklen_t length = sizeof own;
  TW_CHECK(::bind(fd(), reinterpret_cast<sockaddr*>(&own), sizeof own) == 0 && ::getsockname(fd(), reinterpret_cast<sockaddr*>(&own), &length) == 0,
           config, "no UDP port for the watchdog: {}; --watchdog.enabled false runs without it", std::strerror(errno));
  port_ = ntohs(own.sin_port);
}

void Datagrams::set_peers(std::vector<Contact> peers, const std::string& own_node) {
  peers_.clear();
  for (Contact& c : peers) {
    Peer peer{.addresses = std::move(c.addresses)};
    // Ranks of one node reach each other whatever becomes of its links.
    if (c.node == own_node && !peer.addresses.empty()) {
      peer.addresses.resize(1);
      peer.addresses[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      peer.found = true;
    }
    peers_.push_back(std::move(peer));
  }
}

template <class T>
void Datagrams::send_bytes(int to, T& message, BeatHeader::Kind kind) {
  message.header = {.token = token_, .kind = kind, .rank = rank_, .number = ++number_};
  const Peer& peer = peers_[size_t(to)];
  for (size_t a = 0; a < (peer.found ? std::min<size_t>(1, peer.addresses.size()) : peer.addresses.size()); ++a)
    (void)::sendto(fd(), &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&peer.addresses[a]),
                   sizeof peer.addresses[a]);
}
void Datagrams::send(int to, Beat beat) { send_bytes(to, beat, BeatHeader::beat); }
void Datagrams::send(int to, Verdict verdict) { send_bytes(to, verdict, BeatHeader::verdict); }
void Datagrams::send(int to, Done done) { send_bytes(to, done, BeatHeader::done); }

bool Datagrams::receive(Received& out) {
  char bytes[sizeof(Verdict) + 1];
  static_assert(sizeof(Verdict) >= sizeof(Beat));
  for (;;) {
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const ssize_t n = ::recvfrom(fd(), bytes, sizeof bytes, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&from), &length);
    if (n < 0 && (errno == EINTR || errno == ECONNREFUSED)) continue;
    if (n < 0) return false;
    ++refused_;
    if (size_t(n) < sizeof(BeatHeader)) continue;
    take(bytes, out.header);
    const bool ours = out.header.token == token_ && out.header.rank >= 0 && out.header.rank < int(peers_.size()) && out.header.rank != rank_;
    if (!ours) continue;
    if (out.header.kind == BeatHeader::beat && size_t(n) == sizeof(Beat)) {
      take(bytes, out.beat);
      make_sane(out.beat);
    } else if (out.header.kind == BeatHeader::verdict && size_t(n) == sizeof(Verdict)) {
      take(bytes, out.verdict);
      out.verdict.reason[sizeof out.verdict.reason - 1] = 0;
      if (out.verdict.exit_code < 64 || out.verdict.exit_code > 113) continue;
    } else if (!(out.header.kind == BeatHeader::done && size_t(n) == sizeof(Done))) {
      continue;
    }
    --refused_;
    if (Peer& peer = peers_[size_t(out.header.rank)]; !peer.found) peer.found = true, peer.addresses.insert(peer.addresses.begin(), from);
    return true;
  }
}

}  // namespace tw
