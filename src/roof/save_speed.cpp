#include "src/roof/save_speed.h"

#include <fcntl.h>
#include <unistd.h>

#include "src/checkpoint/checkpoint_writer.h"
#include "src/core/clock.h"
#include "src/core/file.h"
#include "src/core/format.h"
#include "src/core/thread_team.h"

namespace tw {
namespace fs = std::filesystem;
namespace {

double slowest(Communicator& comm, double seconds) { return all_reduce_value(comm, seconds, ReduceOp::max); }

// A folder for the time of the measurement.
class Removed {
 public:
  Removed(fs::path path, Communicator& comm) : path_(std::move(path)), comm_(comm) {
    if (comm.rank() == 0) make_folders(path_);
    comm.barrier();
  }
  ~Removed() {
    std::error_code ignored;
    if (comm_.rank() == 0) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  Communicator& comm_;
};

// pwrite of everything, one tensor after the other, and fsync: seconds.
double write_raw(const fs::path& folder, const std::vector<TensorSlice>& slices, Communicator& comm) {
  const fs::path path = folder / fmt::format("raw-{}", comm.rank());
  comm.barrier();
  const double begin = now_seconds();
  {
    const FileDescriptor fd = open_to_write(path);
    constexpr size_t kCall = size_t(1) << 20;
    int64_t at = 0;
    for (const TensorSlice& s : slices) {
      const char* data = static_cast<const char*>(s.data.data);
      for (size_t done = 0; done < s.data.bytes(); done += kCall) {
        const size_t n = std::min(kCall, s.data.bytes() - done);
        write_exactly(fd.get(), data + done, n, at, path);
        at += int64_t(n);
      }
    }
    flush_to_disk(fd.get(), path);
  }
  const double seconds = slowest(comm, now_seconds() - begin);
  ::unlink(path.c_str());
  return seconds;
}

void drop_from_cache(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const FileDescriptor fd = open_to_read(entry.path());
    ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

}  // namespace

SaveSpeed measure_saving(Config& config, Communicator& comm, const Stream& stream, const SaveSpeedOptions& options) {
  SaveSpeed speed;
  speed.ranks = comm.size(), speed.threads = stream.team().size(), speed.interval_seconds = options.interval_seconds;
  const auto say = [&](const char* what) {
    if (options.say) options.say(what);
  };
  // Training of so many steps is in no hurry: what is behind the measurement is never done.
  PreparedTraining prepared = prepare_training(config, comm, stream, 10000, false);
  Trainer trainer(prepared.options, prepared.data.batches, comm, stream);
  trainer.initialize(config.get<uint64_t>("training.seed"));
  trainer.reserve_snapshot();
  speed.parameters = trainer.table().parameter_count();
  for (int i = 0; i < 2; ++i) trainer.step();

  const Removed folder(options.folder / broadcast_text(comm, fmt::format(".bench-{}", ::getpid()), 0), comm);
  std::vector<double> stalls, raws, writes, read_backs, saves, verifies, loads;
  CheckpointWriter writer(comm);
  CheckpointInfo info;
  trainer.describe(info);
  const auto save = [&](std::vector<TensorSlice> slices, bool in_background) {
    writer.start({.folder = folder.path(), .keep_latest_k = 1}, info, std::move(slices), in_background);
  };
  const auto end_of = [&] {
    const SaveOutcome outcome = *writer.wait();
    if (!outcome.ok()) throw Error(outcome.code, outcome.error);
    return outcome;
  };

  say("snapshots, the disk and saves in turn");
  for (int r = 0; r <= options.repeats; ++r) {
    comm.barrier();
    const double begin = now_seconds();
    const std::vector<TensorSlice> slices = trainer.snapshot();
    const double stall = slowest(comm, now_seconds() - begin);
    const double raw = write_raw(folder.path(), slices, comm);
    comm.barrier();
    save(slices, false);
    const SaveOutcome outcome = end_of();
    const double write = slowest(comm, outcome.write_seconds), read_back = slowest(comm, outcome.read_back_seconds);
    const double whole = slowest(comm, outcome.seconds);
    double bytes = 0;
    for (const TensorSlice& s : slices) bytes += double(s.data.bytes());
    speed.bytes = all_reduce_value(comm, bytes, ReduceOp::sum);
    if (r == 0) continue;  // it fills the disk's and the kernel's memory
    stalls.push_back(stall), raws.push_back(raw), writes.push_back(write), read_backs.push_back(read_back), saves.push_back(whole);
  }

  say("restoring");
  for (int r = 0; r < options.repeats; ++r) {
    comm.barrier();
    for (const auto& entry : fs::directory_iterator(folder.path()))
      if (comm.rank() == 0 && entry.is_directory()) drop_from_cache(entry.path());
    comm.barrier();
    double begin = now_seconds();
    const auto checkpoint = open_checkpoint(folder.path(), comm);
    TW_CHECK(checkpoint, bug, "{}: the checkpoint that was just saved is not found", folder.path().string());
    verifies.push_back(slowest(comm, now_seconds() - begin));
    begin = now_seconds();
    trainer.load(*checkpoint, true);
    loads.push_back(slowest(comm, now_seconds() - begin));
  }

  say("training");
  std::vector<double> steps;
  const auto step = [&] {
    const double begin = now_seconds();
    trainer.step();
    synchronize(stream);
    return slowest(comm, now_seconds() - begin);
  };
  step();
  // So long that a save in the background, which has a tenth of a core where all are busy, ends within.
  const auto train_for = [&](double seconds, auto&& go_on) {
    double sum = 0;
    std::vector<double> done;
    while (sum < seconds || go_on()) {
      done.push_back(step());
      sum += done.back();
    }
    return done;
  };
  steps = train_for(options.beside_seconds, [] { return false; });
  const double check_begin = now_seconds();
  trainer.check_replicas();
  speed.check_seconds = slowest(comm, now_seconds() - check_begin);
  say("training beside a save");
  save(trainer.snapshot(), true);
  const std::vector<double> beside =
      train_for(options.beside_seconds, [&] { return all_reduce_value(comm, int64_t(writer.busy()), ReduceOp::max) == 1; });
  speed.background_seconds = slowest(comm, end_of().seconds);
  const std::vector<double> after = train_for(options.beside_seconds, [] { return false; });
  steps.insert(steps.end(), after.begin(), after.end());

  speed.raw = spread_of(raws), speed.write = spread_of(writes), speed.read_back = spread_of(read_backs), speed.save = spread_of(saves);
  speed.verify = spread_of(verifies), speed.load = spread_of(loads), speed.stall = spread_of(stalls);
  speed.step_seconds = median_of(steps);
  speed.steps_beside = int64_t(beside.size());
  double plain = 0;
  for (const double s : steps) plain += s;
  speed.plain_seconds = plain / double(steps.size()) * double(beside.size());
  for (const double s : beside) speed.beside_seconds += s;
  return speed;
}

std::string saving_table(const SaveSpeed& s, const std::string& where) {
  std::string out = fmt::format("Checkpoint of {} weights, {} by {} rank{} x {} threads\nto {}\n", human_count(double(s.parameters)), human_bytes(s.bytes),
                                s.ranks, s.ranks > 1 ? "s" : "", s.threads, where);
  const auto row = [&](const char* what, const Spread& t, const std::string& more = "") {
    out += fmt::format("  {:<40}{:>9}{:>9}{:>10}{}\n", what, human_seconds(t.median), fmt::format("{:.0f}", s.bytes / t.median / 1e6),
                       fmt::format("{:.0f} %", 100 * t.noise()), more);
  };
  out += fmt::format("  {:<40}{:>9}{:>9}{:>10}\n", "", "median", "MB/s", "spread");
  row("the disk: pwrite and fsync", s.raw);
  row("a save: sums, writing, fsync", s.write, fmt::format("  {:.0f} % of the disk", 100 * s.of_raw()));
  row("a save: reading back, comparing", s.read_back);
  row("a save: all, with the commit", s.save);
  row("a restore: every byte checked", s.verify);
  row("a restore: into the trainer", s.load);
  row("training stands still: snapshot", s.stall);
  out += fmt::format("  {:<40}{:>9}\n", "training stands still: ranks compared", human_seconds(s.check_seconds));
  out += fmt::format("  a save in the background ends after {}; {} steps beside it took {}, else {} (a step: {})\n",
                     human_seconds(s.background_seconds), s.steps_beside, human_seconds(s.beside_seconds), human_seconds(s.plain_seconds),
                     human_seconds(s.step_seconds));
  out += fmt::format("  one save each {} takes {:.2f} % of the time: {} of standing still, {} of slower steps\n", human_seconds(s.interval_seconds),
                     100 * s.share(), human_seconds(s.stall.median + s.check_seconds), human_seconds(s.slowdown_seconds()));
  return out;
}

}  // namespace tw
