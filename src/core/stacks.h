// Where each thread of this process is, for a person who wants to know why it hangs.
#pragma once
#include <string>

namespace tw {

// Once, while all is well: installs the handler of a real-time signal (SIGRTMIN + 5) and loads what a handler may not.
void prepare_stacks();
// For people: each thread with its name, state, the kernel function it sleeps in, and its calls, innermost first. A thread
// that does not answer in time (it is stopped, or in a call of the kernel that nothing interrupts) is listed without calls.
// Takes at most about `seconds`. Needs prepare_stacks.
std::string stacks_of_all_threads(double seconds);

}  // namespace tw
