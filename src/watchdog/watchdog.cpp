#include "src/watchdog/watchdog.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "src/core/build_id.h"
#include "src/core/clock.h"
#include "src/core/host.h"
#include "src/core/log.h"
#include "src/core/stacks.h"
#include "src/watchdog/datagrams.h"
#include "src/watchdog/detector.h"
#include "src/watchdog/processes.h"

namespace tw {
namespace {

constexpr double kGoneAfter = 4;      // seconds from the finding, whatever hangs meanwhile
// The same where a host does not answer. mpirun must notice that by itself: told by us, it would send its daemon there a last
// word first, and wait a quarter of an hour for TCP to give it up.
constexpr double kGoneAfterLink = 6.5;
constexpr double kStacksSeconds = 1;
constexpr double kOthersSeconds = 1.5;  // for their stacks

[[noreturn]] void end_process(ExitCode code) { ::_exit(int(code)); }

class Watchdog {
 public:
  Watchdog(Communicator& world, const WatchdogOptions& options);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  void leave() noexcept { leaving_.store(true), wake(); }
  std::string metrics();
  double timeout() const noexcept { return options_.timeout_seconds; }

 private:
  void run();
  void look(double now);
  void take_datagrams(double now);
  void warn(double now);
  Beat own_beat(double now);
  void wake() const noexcept {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(wake_.get(), &one, sizeof one);
  }
  [[noreturn]] void decide(const Finding& finding);
  [[noreturn]] void obey(const Verdict& verdict);
  // What every rank does when the job is at its end.
  void give_up(ExitCode code, const std::vector<int>& culprits, bool link);
  void write_stacks(bool show);

  Communicator& world_;
  WatchdogOptions options_;
  int rank_, size_, mate_rank_ = -1;
  double every_;
  bool leader_;
  std::vector<Contact> contacts_;
  std::unique_ptr<Datagrams> datagrams_;
  Mate mate_;
  Stillness stillness_;
  std::mutex mutex_;  // of the detector: metrics() reads it
  std::unique_ptr<Detector> detector_;
  FileDescriptor wake_;
  std::atomic<bool> leaving_{false}, stop_{false};
  std::set<int> done_;
  double started_ = 0;
  uint64_t looks_ = 0;
  bool warned_of_silence_ = false, mate_was_gone_ = false;
  std::thread thread_;
};

std::unique_ptr<Watchdog> watchdog;

std::vector<int> other_ranks(int own, int size) {
  std::vector<int> all;
  for (int r = 0; r < size; ++r)
    if (r != own) all.push_back(r);
  return all;
}

Watchdog::Watchdog(Communicator& world, const WatchdogOptions& options)
    : world_(world),
      options_(options),
      rank_(world.rank()),
      size_(world.size()),
      every_(std::clamp(size_ / 4096.0, 0.25, 1.0)),
      leader_(rank_ == 0),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  TW_CHECK(wake_, config, "no event for the watchdog: {}", std::strerror(errno));
  prepare_stacks();
  RunToken token{};
  if (leader_)
    TW_CHECK(::getrandom(token.data(), sizeof token, 0) == ssize_t(sizeof token), config, "no random numbers: {}", std::strerror(errno));
  const std::string bytes = broadcast_text(world, std::string(reinterpret_cast<const char*>(token.data()), sizeof token), 0);
  std::memcpy(token.data(), bytes.data(), sizeof token);
  // Where one rank has no socket, all say so.
  std::string failure, own_node = node_identity();
  Contact own{.host = host_name(), .node = own_node, .pid = ::getpid()};
  const bool one_host = all_reduce_value(world, int64_t(world.node_size() == size_), ReduceOp::min) != 0;
  try {
    datagrams_ = std::make_unique<Datagrams>(token, rank_, one_host);
    std::vector<in_addr> addresses = own_addresses();
    if (one_host || addresses.empty()) addresses = {in_addr{htonl(INADDR_LOOPBACK)}};
    for (const in_addr a : addresses) {
      sockaddr_in full{};
      full.sin_family = AF_INET, full.sin_addr = a, full.sin_port = htons(datagrams_->port());
      own.addresses.push_back(full);
    }
  } catch (const Error& e) {
    failure = e.what();
  }
  for (const std::string& text : all_gather_text(world, failure)) TW_CHECK(text.empty(), config, "{}", text);
  std::vector<RankInfo> infos;
  for (const std::string& text : all_gather_text(world, own.text())) contacts_.push_back(Contact::parse(text));
  for (const Contact& c : contacts_) infos.push_back({c.host, c.pid});
  // The next one of the same node, round about.
  for (int step = size_ - 1; step > 0; --step)
    if (const int r = (rank_ + step) % size_; contacts_[size_t(r)].node == own_node) mate_rank_ = r;
  if (mate_rank_ >= 0) mate_ = Mate(contacts_[size_t(mate_rank_)].pid);
  datagrams_->set_peers(contacts_, own_node);
  const Patience patience{.timeout = options_.timeout_seconds};
  detector_ = std::make_unique<Detector>(std::move(infos), rank_, leader_ ? other_ranks(0, size_) : std::vector<int>{0}, patience, leader_);
  started_ = now_seconds();
  follow_this_thread();
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the threads that were there before
  thread_ = std::thread([this] {
    set_log_rank(rank_);
    run();
  });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Watchdog::~Watchdog() {
  stop_ = true;
  wake();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::run() {
  ::pthread_setname_np(::pthread_self(), "watchdog");
  double next = now_seconds();
  while (!stop_) {
    pollfd events[3] = {{datagrams_->fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}, {mate_was_gone_ ? -1 : mate_.fd(), POLLIN, 0}};
    const double wait = std::max(0.0, next - now_seconds());
    ::poll(events, 3, int(wait * 1000) + 1);
    if (stop_) return;
    const double now = now_seconds();
    if (events[1].revents) {
      uint64_t count;
      [[maybe_unused]] const ssize_t n = ::read(wake_.get(), &count, sizeof count);
    }
    try {
      take_datagrams(now);
      const bool news = events[1].revents || events[2].revents;
      mate_was_gone_ |= events[2].revents != 0;
      if (now < next && !news) continue;
      if (now >= next) next = std::max(next + every_, now);
      if (news) next = std::min(next, now + Patience::grace);
      look(now);
    } catch (const std::exception& e) {  // of memory, for one; the next look may do
      log_debug("the watchdog: {}", e.what());
    }
  }
}

Beat Watchdog::own_beat(double now) {
  const Activity doing = activity();
  stillness_.look(doing, now);
  const StepTimes times = step_times();
  Beat b;
  b.step = doing.step, b.collectives = doing.collectives;
  std::strncpy(b.collective, doing.collective, sizeof b.collective - 1);
  b.phase = uint8_t(doing.phase), b.waiting = doing.waiting, b.leaving = leaving_;
  b.idle = float(stillness_.idle()), b.excused = float(stillness_.excused()), b.usual_step = float(usual_step_seconds());
  b.window = times.window, b.own = float(times.own);
  for (size_t p = 0; p < b.own_of.size(); ++p) b.own_of[p] = float(times.of[p]);
  b.mate = mate_rank_;
  if (mate_rank_ >= 0) b.mate_state = mate_.state();
  return b;
}

void Watchdog::take_datagrams(double now) {
  Datagrams::Received got;
  const std::lock_guard lock(mutex_);
  while (datagrams_->receive(got)) {
    if (got.header.kind == BeatHeader::beat && (leader_ || got.header.rank == 0)) detector_->heard(got.header.rank, got.beat, now);
    if (got.header.kind == BeatHeader::verdict) obey(got.verdict);
  }
}

void Watchdog::look(double now) {
  Beat beat = own_beat(now);
  {
    const std::lock_guard lock(mutex_);
    beat.header.number = ++looks_;
    detector_->heard(rank_, beat, now);
    const auto found = detector_->judge(now);
    if (found && !leaving_) decide(*found);
  }
  for (const int r : leader_ ? other_ranks(0, size_) : std::vector<int>{0}) {
    beat.heard_ago = float(detector_->heard_ago(r, now));
    datagrams_->send(r, beat);
  }
  if (leader_) warn(now);
}

void Watchdog::warn(double now) {
  for (const std::string& sentence : detector_->stragglers()) log_warning("{}", sentence);
  if (warned_of_silence_ || now - started_ < options_.timeout_seconds) return;
  warned_of_silence_ = true;
  std::map<std::string, int> hosts;
  for (const int r : other_ranks(0, size_))
    if (!detector_->in_contact(r)) ++hosts[contacts_[size_t(r)].host];
  std::string names;
  for (const auto& [host, ranks] : hosts) names += fmt::format("{}{} ({} ranks)", names.empty() ? "" : ", ", host, ranks);
  if (!names.empty())
    log_warning("the watchdog hears nothing of {}: are UDP datagrams blocked between the hosts? A rank that stops there will not be noticed", names);
}

void Watchdog::write_stacks(bool show) {
  const std::string stacks = stacks_of_all_threads(kStacksSeconds);
  const Activity doing = activity();
  const std::filesystem::path path = options_.folder / fmt::format("stacks-rank-{}.txt", rank_);
  bool written = false;
  try {
    write_file_atomically(path, fmt::format("rank {}, process {} of host {}: {}{}, last step done {}, collective {} ({}), no mark for {:.1f} s\n\n{}", rank_,
                                            ::getpid(), contacts_[size_t(rank_)].host, doing.waiting ? "waiting in " : "", name_of(doing.phase),
                                            doing.step, doing.collectives, doing.collective, stillness_.idle(), stacks));
    written = true;
  } catch (const Error& e) {
    log_line(LogLevel::quiet, fmt::format("{} was not written: {}", path.string(), e.what()));
  }
  if (!show) return;
  // The thread that is watched is the first.
  constexpr size_t kLines = 14;
  size_t end = 0;
  for (size_t line = 0; line < kLines && end != std::string::npos; ++line) end = stacks.find('\n', end + 1);
  const size_t second = stacks.find("\nthread ");
  log_line(LogLevel::quiet, fmt::format("stack of rank {}: {}\n{}", rank_, written ? "all threads are in " + path.string() : "",
                                        stacks.substr(0, std::min({end, second, stacks.size()}))));
}

void Watchdog::give_up(ExitCode code, const std::vector<int>& culprits, bool link) {
  const bool accused = std::find(culprits.begin(), culprits.end(), mate_rank_) != culprits.end();
  // Whatever hangs elsewhere, this ends it. A stopped neighbour whom the launcher has not ended by then would stay.
  const double seconds = (link ? kGoneAfterLink : kGoneAfter) - (leader_ ? 0 : 1);
  std::thread([this, code, accused, seconds] {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    if (accused && mate_.state() == MateState::stopped) mate_.kill();
    end_process(code);
  }).detach();
}

void Watchdog::decide(const Finding& finding) {
  give_up(finding.code, finding.ranks, finding.link);
  Verdict verdict;
  verdict.exit_code = int(finding.code);
  verdict.culprit = finding.ranks.empty() ? -1 : finding.ranks[0];
  verdict.link = finding.link;
  std::strncpy(verdict.reason, finding.reason.c_str(), sizeof verdict.reason - 1);
  const std::vector<int> others = other_ranks(rank_, size_);
  const auto tell = [&] {
    for (const int r : others) datagrams_->send(r, verdict);
  };
  tell();
  const double now = now_seconds();
  log_line(LogLevel::quiet, fmt::format("{} {}\n{}", coloured("error:", Colour::red), finding.reason, detector_->table(now, finding.ranks)));
  tell();
  // The first reason stands. Where a link is cut, both sides find it: that of rank 0 knows more.
  if (!leader_ && finding.link) std::this_thread::sleep_for(std::chrono::milliseconds(700));
  if (options_.record) options_.record(finding.code, finding.reason);
  tell();
  const bool culprit = std::find(finding.ranks.begin(), finding.ranks.end(), rank_) != finding.ranks.end();
  write_stacks(culprit || finding.ranks.empty());
  // A moment for the others to write theirs.
  const double until = now + (leader_ ? kOthersSeconds : 0.5 * kOthersSeconds);
  while (now_seconds() < until && done_.size() < others.size()) {
    Datagrams::Received got;
    while (datagrams_->receive(got))
      if (got.header.kind == BeatHeader::done) done_.insert(got.header.rank);
    bool all = true;
    for (const int r : others) {
      const double ago = detector_->heard_ago(r, now);
      all &= done_.contains(r) || !leader_ || ago < 0 || ago > 2 || std::find(finding.ranks.begin(), finding.ranks.end(), r) != finding.ranks.end();
    }
    if (all && leader_ && finding.code == ExitCode::peer_lost) break;  // one that hangs may still answer
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  if (finding.link) std::this_thread::sleep_for(std::chrono::duration<double>(kGoneAfterLink));  // ended before by mpirun, or give_up
  world_.abort(int(finding.code));
  end_process(finding.code);  // the call above does not return, which a virtual call cannot promise
}

void Watchdog::obey(const Verdict& verdict) {
  const auto code = ExitCode(verdict.exit_code);
  give_up(code, {verdict.culprit}, verdict.link != 0);
  // Heard of one that hears nothing of rank 0: the other end of the link is the one to name, before it records what it sees.
  if (leader_ && verdict.link && verdict.culprit == rank_ && options_.record) {
    const auto host = [&](int r) { return contacts_[size_t(r)].host; };
    options_.record(code, fmt::format("rank {} (host {}) hears nothing of rank {} (host {}), which hears it: the link is down one way",
                                      verdict.header.rank, host(verdict.header.rank), rank_, host(rank_)));
  }
  if (verdict.culprit == rank_ || verdict.culprit < 0) log_line(LogLevel::quiet, fmt::format("told by rank {}: {}", verdict.header.rank, verdict.reason));
  write_stacks(verdict.culprit == rank_);
  for (int i = 0; i < 3; ++i) datagrams_->send(verdict.header.rank, Done{});
  for (;;) ::pause();  // until the launcher or give_up's thread ends it
}

std::string Watchdog::metrics() {
  if (!leader_) return "";
  const std::lock_guard lock(mutex_);
  const double now = now_seconds();
  std::string ages, steps, phases, collectives, idles;
  for (int r = 0; r < size_; ++r) {
    const Beat* b = detector_->last(r);
    if (!b) continue;
    const std::string labels = fmt::format("rank=\"{}\",host=\"{}\"", r, contacts_[size_t(r)].host);
    ages += fmt::format("tokenwerk_rank_heartbeat_age_seconds{{{}}} {:.3f}\n", labels, r == rank_ ? 0.0 : detector_->heard_ago(r, now));
    steps += fmt::format("tokenwerk_rank_step{{{}}} {}\n", labels, std::max<int64_t>(0, b->step));
    phases += fmt::format("tokenwerk_rank_phase{{{},phase=\"{}\"}} 1\n", labels, name_of(WorkPhase(b->phase)));
    collectives += fmt::format("tokenwerk_rank_collectives_total{{{}}} {}\n", labels, b->collectives);
    idles += fmt::format("tokenwerk_rank_idle_seconds{{{}}} {:.3f}\n", labels, b->idle);
  }
  return "# HELP tokenwerk_rank_heartbeat_age_seconds Since the rank was last heard.\n# TYPE tokenwerk_rank_heartbeat_age_seconds gauge\n" + ages +
         "# HELP tokenwerk_rank_step Steps the rank has done.\n# TYPE tokenwerk_rank_step gauge\n" + steps +
         "# HELP tokenwerk_rank_phase What the rank is at.\n# TYPE tokenwerk_rank_phase gauge\n" + phases +
         "# HELP tokenwerk_rank_collectives_total Collective calls the rank has begun.\n# TYPE tokenwerk_rank_collectives_total counter\n" + collectives +
         "# HELP tokenwerk_rank_idle_seconds Since the rank's last sign of progress.\n# TYPE tokenwerk_rank_idle_seconds gauge\n" + idles;
}

}  // namespace

void start_watchdog(Communicator& world, const WatchdogOptions& options) {
  if (world.size() == 1 || watchdog) return;
  watchdog = std::make_unique<Watchdog>(world, options);
}

void end_watchdog(Communicator& world) {
  if (!watchdog) return;
  const PhaseScope phase(WorkPhase::finish);
  world.barrier();  // watched by all
  watchdog->leave();
  world.barrier();  // nobody judges any more: they may end one after the other
  watchdog.reset();
}

void leave_watchdog(ExitCode code) {
  if (!watchdog) return;
  if (code == ExitCode::peer_lost) {
    const WaitScope wait;
    std::this_thread::sleep_for(std::chrono::duration<double>(1.2 * watchdog->timeout()));
  }
  watchdog->leave();
}

void check_same_build(Communicator& world) {
  const std::vector<std::string> all = all_gather_text(world, build_id());
  std::map<std::string, int> counts;
  for (const std::string& id : all) ++counts[id];
  if (counts.size() == 1) return;
  const auto most = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  std::string odd;
  int shown = 0;
  for (size_t r = 0; r < all.size() && shown < 8; ++r)
    if (all[r] != most->first) odd += fmt::format("{}{} ({:.12})", shown++ ? ", " : "", r, all[r]);
  TW_FAIL(bug, "{} of {} ranks run another build of tokenwerk than the rest ({:.12}): ranks {}. Install one build on all hosts", int(all.size()) - most->second,
          all.size(), most->first, odd);
}

std::string watchdog_metrics() { return watchdog ? watchdog->metrics() : ""; }

}  // namespace tw
