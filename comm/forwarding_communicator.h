// A communicator that stands before another: who and where the ranks are is passed on.
#pragma once
#include <cstdlib>

#include "comm/communicator.h"

namespace tw {

class ForwardingCommunicator : public Communicator {
 public:
  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  int node_rank() const override { return inner_.node_rank(); }
  int node_size() const override { return inner_.node_size(); }
  std::string transport() const override { return inner_.transport(); }
  [[noreturn]] void abort(int exit_code) override {
    inner_.abort(exit_code);
    std::abort();  // the call above does not return, which a virtual call cannot promise
  }

 protected:
  // owned: where `inner` was made for this one alone.
  explicit ForwardingCommunicator(Communicator& inner, std::unique_ptr<Communicator> owned = nullptr) : owned_(std::move(owned)), inner_(inner) {}
  explicit ForwardingCommunicator(std::unique_ptr<Communicator> inner) : owned_(std::move(inner)), inner_(*owned_) {}

  std::unique_ptr<Communicator> owned_;
  Communicator& inner_;
};

}  // namespace tw
