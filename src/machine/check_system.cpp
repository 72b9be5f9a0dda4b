#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/timex.h>

#include <algorithm>

#include "src/core/clock.h"
#include "src/core/format.h"
#include "src/core/gpu.h"
#include "src/core/utf8.h"
#include "src/hdf5/h5.h"
#include "src/machine/checks.h"
#include "src/machine/kernel_files.h"

#define TW_TEXT_OF_WORD(word) #word
#define TW_TEXT_OF(macro) TW_TEXT_OF_WORD(macro)

namespace tw {
namespace fs = std::filesystem;
namespace {

std::string limit_text(rlim_t value, bool bytes) {
  if (value == RLIM_INFINITY) return "no limit";
  return bytes ? human_bytes(double(value)) : std::to_string(value);
}

void check_limits(const Surroundings& here, Findings& out) {
  constexpr rlim_t kFewest = 64, kEnough = 1024;
  rlimit files{}, locked{}, stack{}, size{};
  ::getrlimit(RLIMIT_NOFILE, &files), ::getrlimit(RLIMIT_MEMLOCK, &locked), ::getrlimit(RLIMIT_STACK, &stack), ::getrlimit(RLIMIT_FSIZE, &size);
  const std::string open = fmt::format("{} (up to {})", limit_text(files.rlim_cur, false), limit_text(files.rlim_max, false));
  const std::string raise = "ulimit -n " + std::to_string(std::min<rlim_t>(files.rlim_max, 65536));
  if (files.rlim_cur < kFewest) out.problem(ExitCode::config, "open files", open + ": too few for a run", raise);
  else if (files.rlim_cur < kEnough) out.note("open files", open + ": few for many token files", raise);
  else out.ok("open files", open);
  // Network cards and GPUs reach only memory that is locked.
  const bool cards = !kernel_names(here.root / "sys/class/infiniband").empty();
  if (cards && locked.rlim_cur != RLIM_INFINITY)
    out.note("locked memory", limit_text(locked.rlim_cur, true) + ": InfiniBand wants more", "ulimit -l unlimited");
  else out.ok("locked memory", limit_text(locked.rlim_cur, true));
  if (stack.rlim_cur != RLIM_INFINITY && stack.rlim_cur < rlim_t(1) << 20) out.note("stack", limit_text(stack.rlim_cur, true) + ": small", "ulimit -s 8192");
  else out.ok("stack", limit_text(stack.rlim_cur, true));
  if (size.rlim_cur != RLIM_INFINITY) out.note("file size", limit_text(size.rlim_cur, true) + " at most: token files and checkpoints may be larger", "ulimit -f unlimited");
}

void check_clock(const Surroundings& here, Findings& out) {
  constexpr double kPlausible = 1.7e9;  // 2023
  const double now = unix_seconds();
  timex state{};
  const bool synchronised = ::adjtimex(&state) >= 0 && !(state.status & STA_UNSYNC);
  std::string text = iso_time(now) + (synchronised ? ", synchronised" : ", not synchronised by NTP");
  if (now < kPlausible) out.note("clock", text + ": wrong, files get wrong times", "sudo timedatectl set-ntp true");
  else out.ok("clock", text);

  constexpr int kReads = 2000;
  const double begin = now_seconds();
  double last = begin;
  for (int i = 0; i < kReads; ++i) last = now_seconds();
  const double cost = (last - begin) / kReads;
  const std::string source = kernel_text(here.root / "sys/devices/system/clocksource/clocksource0/current_clocksource");
  text = fmt::format("{}, {:.0f} ns a read", source.empty() ? "source not told" : source, 1e9 * cost);
  if (source == "hpet" || source == "acpi_pm" || source == "jiffies" || source == "refined-jiffies")
    out.note("timer", text + ": slow", "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource");
  else out.ok("timer", text);
}

}  // namespace

void check_program(Findings& out) {
  out.begin("Program");
  out.ok("tokenwerk", fmt::format("{}, {} build, {} CUDA, g++ {}", TW_VERSION, TW_BUILD_TYPE, gpu::built() ? "with" : "without", __VERSION__)).values = {
      {"version", std::string(TW_VERSION)}, {"cuda", std::string(gpu::built() ? "yes" : "no")}};
  unsigned major = 0, minor = 0, release = 0;
  hbool_t threads = false;
  {
    const std::lock_guard lock(h5::library_mutex());
    H5get_libversion(&major, &minor, &release);
    H5is_library_threadsafe(&threads);
  }
  // "1" in a parallel build; elsewhere the name is no macro and stays.
  const bool parallel = std::string_view(TW_TEXT_OF(H5_HAVE_PARALLEL)) == "1";
  const std::string text = fmt::format("{}.{}.{}, {}, {}", major, minor, release, parallel ? "parallel (used as serial)" : "serial",
                                       threads ? "thread-safe" : "not thread-safe (calls take turns)");
  if (major != H5_VERS_MAJOR || minor != H5_VERS_MINOR)
    out.problem(ExitCode::config, "HDF5", fmt::format("{}; the program was built for {}.{}", text, H5_VERS_MAJOR, H5_VERS_MINOR), "launch/build");
  else out.ok("HDF5", text);
}

void check_slurm(const Surroundings& here, Findings& out) {
  out.begin("Slurm");
  const std::string job = here.environment("SLURM_JOB_ID");
  const fs::path srun = find_program(here, "srun");
  if (job.empty() && srun.empty()) {
    out.ok("Slurm", "not installed: one machine does not need it");
    return;
  }
  if (job.empty()) {
    out.ok("Slurm", srun.string() + "; this is no job of it");
  } else {
    const std::string nodes = here.environment("SLURM_JOB_NUM_NODES"), tasks = here.environment("SLURM_NTASKS");
    out.ok("Slurm", fmt::format("job {}, {} nodes, {} tasks", job, nodes.empty() ? "?" : nodes, tasks.empty() ? "?" : tasks));
  }
  // srun starts ranks that find each other only by this plugin.
  std::string plugin;
  constexpr std::string_view kDebian = "slurm-wlm";
  bool debian = false;
  for (const std::string folder : {"usr/lib/x86_64-linux-gnu/slurm-wlm", "usr/lib/aarch64-linux-gnu/slurm-wlm", "usr/lib64/slurm", "usr/lib/slurm", "usr/local/lib/slurm",
                             "opt/slurm/lib/slurm", "opt/slurm/lib64/slurm"})
    for (const std::string& name : kernel_names(here.root / folder)) {
      debian = debian || folder.ends_with(kDebian);
      if (plugin.empty() && name.starts_with("mpi_pmix") && name.ends_with(".so")) plugin = (fs::path("/") / folder / name).string();
    }
  if (!plugin.empty()) out.ok("PMIx", plugin);
  else out.note("PMIx", "srun's plugin was not found: ranks started by srun may not find each other",
                debian ? "sudo apt-get install slurm-wlm-basic-plugins" : "srun --mpi=list");
}

void check_tools(const Surroundings& here, Findings& out) {
  out.begin("Programs");
  struct Tool {
    const char *name, *use, *package;
  };
  for (const Tool& tool : {Tool{"pdftotext", "PDF documents", "poppler-utils"}, Tool{"ffmpeg", "videos", "ffmpeg"}}) {
    const fs::path found = find_program(here, tool.name);
    if (found.empty()) out.note(tool.name, fmt::format("not installed: wanted for {} alone", tool.use), fmt::format("sudo apt-get install {}", tool.package));
    else out.ok(tool.name, found.string());
  }
}

void check_system(const Surroundings& here, Findings& out) {
  out.begin("System");
  check_limits(here, out);
  std::string locale;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
    if (locale.empty()) locale = here.environment(name);
  const std::string small = ascii_lower(locale);
  if (small.find("utf-8") != small.npos || small.find("utf8") != small.npos) out.ok("locale", locale);
  else out.note("locale", (locale.empty() ? "none is set" : locale) + ": no UTF-8, terminals may show other letters", "export LC_ALL=C.UTF-8");
  check_clock(here, out);
}

}  // namespace tw
