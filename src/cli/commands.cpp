#include <algorithm>

#include "src/cli/command.h"
#include "src/config/schema.h"

namespace tw {
namespace {
constexpr const Command* kCommands[] = {&kFactory,  &kScan,   &kTokenize, &kTrain,   &kSweep, &kEval,  &kGenerate,
                                        &kReport, &kImport, &kExport,   &kInspect, &kVerify,
                                        &kEncode, &kDecode, &kBench, &kDoctor, &kCompletions, &kMan};
}  // namespace

std::span<const Command* const> commands() { return kCommands; }

const Command* find_command(std::string_view name) {
  const auto found = std::find_if(std::begin(kCommands), std::end(kCommands), [&](const Command* c) { return c->name == name; });
  return found == std::end(kCommands) ? nullptr : *found;
}

std::string nearest_command(std::string_view name) {
  std::string best;
  int distance = int(name.size()) / 3 + 1;
  for (const Command* c : kCommands)
    if (const int d = edit_distance(name, c->name); d <= distance) best = c->name, distance = d - 1;
  return best;
}

}  // namespace tw
