// SIGTERM, SIGINT and SIGUSR1 ask for a clean stop at the next step boundary.
#pragma once

namespace tw {
// Installs handlers. A second SIGINT or SIGTERM ends the process at once (exit code 75); a SIGUSR1 before it does not
// count, since Slurm sends both.
void catch_stop_signals();
// The signal that asked for the stop, or 0.
int stop_signal() noexcept;
void clear_stop_signal() noexcept;  // tests
}  // namespace tw
