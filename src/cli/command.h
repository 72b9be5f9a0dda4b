// A command is a file here that defines one Command, and a line in commands.cpp.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "src/core/error.h"

namespace tw {

struct Command {
  std::string_view name;
  std::string_view summary;  // one line for the overview
  // words: what follows the command's name. Called by every rank of `world`; errors are thrown.
  ExitCode (*run)(const std::vector<std::string>& words, Communicator& world);
};

std::span<const Command* const> commands();
const Command* find_command(std::string_view name);       // nullptr = none
std::string nearest_command(std::string_view name);       // "" = nothing is near

extern const Command kFactory, kScan, kTokenize, kTrain, kEval, kGenerate, kReport, kImport, kExport, kInspect, kVerify;
extern const Command kEncode, kDecode, kCompletions, kMan;
extern const Command kBench, kDoctor, kSweep;

}  // namespace tw
