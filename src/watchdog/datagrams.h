// The way beside MPI: a UDP socket a rank. Nobody has to wait, nothing is kept, a lost datagram is a lost datagram.
#pragma once
#include <netinet/in.h>

#include <span>
#include <string>
#include <vector>

#include "src/core/file.h"
#include "src/watchdog/beat.h"

namespace tw {

// One rank as the others reach it: node, process, port and IPv4 addresses. Goes over MPI as text.
struct Contact {
  std::string host;
  std::string node;  // equal = same kernel, process ids and loopback
  int64_t pid = 0;
  std::vector<sockaddr_in> addresses;

  std::string text() const;
  static Contact parse(const std::string& text);  // Error(bug): it comes from our own kind
};

// Of this machine: boot id, host name, namespaces of processes and network.
std::string node_identity();
// IPv4 addresses by which other hosts may reach this one: of the interfaces that Open MPI was told to use
// (OMPI_MCA_btl_tcp_if_include: names or networks), of all that are up where it was told none. At most 4.
std::vector<in_addr> own_addresses();

class Datagrams {
 public:
  // loopback: all ranks are on this host, nothing else shall reach the socket. Error(config).
  Datagrams(RunToken token, int rank, bool loopback);

  int fd() const noexcept { return socket_.get(); }
  uint16_t port() const noexcept { return port_; }
  // How to reach the others; with index = rank.
  void set_peers(std::vector<Contact> peers, const std::string& own_node);

  // Fills in the header. Never blocks; what cannot be sent is lost.
  void send(int to, Beat beat);
  void send(int to, Verdict verdict);
  void send(int to, Done done);

  // The next datagram of this run; false = there is none now. Exactly one of the outputs is filled, as kind says.
  struct Received {
    BeatHeader header;
    Beat beat;
    Verdict verdict;
  };
  bool receive(Received& out);
  int64_t refused() const noexcept { return refused_; }  // datagrams that were not ours

 private:
  template <class T>
  void send_bytes(int to, T& message, BeatHeader::Kind kind);
  struct Peer {
    std::vector<sockaddr_in> addresses;
    bool found = false;  // the first of `addresses` is where it was heard from
  };
  RunToken token_;
  int rank_;
  FileDescriptor socket_;
  uint16_t port_ = 0;
  uint64_t number_ = 0;
  int64_t refused_ = 0;
  std::vector<Peer> peers_;
};

}  // namespace tw
