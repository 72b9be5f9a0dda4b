#include "src/core/error.h"

namespace tw {
namespace {

constexpr ExitCodeInfo kExitCodes[] = {
    {ExitCode::ok, "done"},
    {ExitCode::config, "a word or a setting is unknown, of the wrong type or out of range"},
    {ExitCode::data, "a data file or checkpoint is damaged or of the wrong kind"},
    {ExitCode::no_input, "an input is missing or unreadable"},
    {ExitCode::peer_lost, "another rank is gone"},
    {ExitCode::bug, "an internal contract was broken: please report it"},
    {ExitCode::cannot_create, "an output cannot be created"},
    {ExitCode::io, "reading or writing failed"},
    {ExitCode::requeue, "saved on request: start me again"},
    {ExitCode::fenced, "another run owns the folder"},
    {ExitCode::budget, "the budget of energy, cost or time is reached"},
    {ExitCode::numerics, "loss or gradients are not finite"},
    {ExitCode::hang, "a rank made no progress"},
    {ExitCode::corruption, "silent data corruption was found"},
};

}  // namespace

std::span<const ExitCodeInfo> exit_codes() noexcept { return kExitCodes; }

}  // namespace tw
