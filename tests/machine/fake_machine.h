// A folder with the files that a machine's kernel would show, and what a check says of it.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "src/core/file.h"
#include "src/machine/finding.h"
#include "src/machine/surroundings.h"
#include "tests/support/process.h"

namespace tw {

class FakeMachine : public testing::Test {
 protected:
  FakeMachine() {
    here.root = folder_.path();
    here.cpus = {0, 1, 2, 3};
    here.environment = [this](const char* name) {
      const auto at = environment.find(name);
      return at == environment.end() ? std::string() : at->second;
    };
    here.folder = folder_.path();
  }
  std::filesystem::path at(const std::string& name) const { return std::filesystem::path(folder_.path()) / name; }
  void put(const std::string& name, const std::string& content) const {  // with its folders
    make_folders(at(name).parent_path());
    write_file_atomically(at(name), content);
  }

  std::map<std::string, std::string> environment;
  Surroundings here;

 private:
  TemporaryFolder folder_;
};

inline bool has(const Findings& findings, const std::string& name) {
  for (const Finding& f : findings.all())
    if (f.name == name) return true;
  return false;
}

// The first finding of that name; one that no check writes where there is none.
inline Finding named(const Findings& findings, const std::string& name) {
  for (const Finding& f : findings.all())
    if (f.name == name) return f;
  ADD_FAILURE() << "nothing is said of \"" << name << "\"";
  return {.section = "none", .name = name, .text = "none"};
}

}  // namespace tw
