// What the commands take, for shells and manuals.
#pragma once
#include "src/cli/arguments.h"
#include "src/cli/command.h"

namespace tw {

// Asks the command itself: nothing is run.
CommandInfo describe(const Command& command);

}  // namespace tw
