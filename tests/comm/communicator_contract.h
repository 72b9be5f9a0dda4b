// What every transport must do, as named cases: run over self, threads and MPI alike. Every rank
// calls the case; values are closed forms of rank and index, so results are checked exactly.
#pragma once
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace tw {

struct ContractCase {
  std::string name;
  void (*run)(Communicator& comm);
};
const std::vector<ContractCase>& communicator_contract();

}  // namespace tw
