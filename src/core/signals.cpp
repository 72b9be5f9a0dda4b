#include "src/core/signals.h"

#include <signal.h>
#include <unistd.h>

#include "src/core/error.h"

namespace tw {
namespace {
volatile sig_atomic_t pending = 0;
void on_signal(int signal) {
  if (signal == SIGUSR1) {
    if (!pending) pending = signal;
    return;
  }
  if (pending && pending != SIGUSR1) ::_exit(int(ExitCode::requeue));
  pending = signal;
}
}  // namespace

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (int s : {SIGTERM, SIGINT, SIGUSR1})
    TW_CHECK(::sigaction(s, &action, nullptr) == 0, bug, "cannot install a handler for signal {}", s);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // past `ulimit -f`, write() shall fail, as on a full disk
}
int stop_signal() noexcept { return pending; }
void clear_stop_signal() noexcept { pending = 0; }

}  // namespace tw
