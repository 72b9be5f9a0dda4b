#include "src/cli/command_info.h"

#include <algorithm>

#include "comm/self.h"

namespace tw {

CommandInfo describe(const Command& command) {
  CommandInfo info;
  const auto alone = make_self_communicator();
  {
    const Arguments::Description description(info);
    command.run({}, *alone);
  }
  TW_CHECK(info.name == command.name, bug, "{} calls itself {}", command.name, info.name);
  std::stable_partition(info.arguments.begin(), info.arguments.end(), [](const ArgumentInfo& a) { return a.word; });
  return info;
}

}  // namespace tw
