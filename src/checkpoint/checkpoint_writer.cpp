#include "src/checkpoint/checkpoint_writer.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "src/checkpoint/vote.h"
#include "src/core/clock.h"
#include "src/core/log.h"

namespace tw {
namespace {

// Of this thread alone. Where training has a thread on every core, an equal writer would take half of one, and every op
// would wait for the team's slowest thread. At nice 10 it gets a tenth, and all that is idle; the disk's queue follows the nice
// value too. It never starves: a checkpoint that is not finished is none. What the kernel refuses costs speed alone.
void step_back() noexcept {
  const sched_param none{};
  ::sched_setscheduler(::gettid(), SCHED_BATCH, &none);
  ::setpriority(PRIO_PROCESS, id_t(::gettid()), 10);
}

// The trainer's thread is the one that signals for a stop are meant for.
void leave_signals() noexcept {
  sigset_t stops;
  sigemptyset(&stops);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaddset(&stops, signal);
  ::pthread_sigmask(SIG_BLOCK, &stops, nullptr);
}

}  // namespace

CheckpointWriter::CheckpointWriter(Communicator& comm) : comm_(comm.split(0, comm.rank())) {}

CheckpointWriter::~CheckpointWriter() {
  watch_.given_up = true;
  if (thread_.joinable()) thread_.join();
}

void CheckpointWriter::start(const CheckpointOptions& options, const CheckpointInfo& info, std::vector<TensorSlice> slices,
                             bool in_background) {
  TW_CHECK(!thread_.joinable(), bug, "a save was started before the end of the last one was taken");
  outcome_ = {.step = info.step};
  busy_ = true;
  thread_ = std::thread([this, options = options, info, slices = std::move(slices), in_background, rank = log_rank()]() mutable {
    set_log_rank(rank);
    leave_signals();
    if (in_background) step_back();
    options.watch = &watch_;
    const double begin = now_seconds();
    const Vote saved = cast_vote([&] { return save_checkpoint(options, info, slices, *comm_).string(); });
    outcome_.seconds = now_seconds() - begin;
    outcome_.write_seconds = watch_.write_seconds, outcome_.read_back_seconds = watch_.read_back_seconds;
    outcome_.code = saved.code;
    if (saved.ok()) outcome_.folder = saved.text;
    else outcome_.error = saved.text;
    busy_ = false;
  });
}

std::optional<SaveOutcome> CheckpointWriter::take() {
  if (busy_) return std::nullopt;
  return wait();
}

std::optional<SaveOutcome> CheckpointWriter::wait() {
  if (!thread_.joinable()) return std::nullopt;
  thread_.join();
  return outcome_;
}

}  // namespace tw
