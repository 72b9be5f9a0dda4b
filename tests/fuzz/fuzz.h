// One parser a file: TW_FUZZ_TARGET(name) { … `input` … }. Built with TW_FUZZ it is a libFuzzer program; in every other
// build it is part of fuzz_replay, which gives it the inputs of corpus/name.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "src/core/error.h"

namespace tw::fuzz {

using Target = void (*)(std::string_view input);

// An input may be refused, and with no other code than these; anything else is a finding.
inline void run(Target target, std::string_view input) {
  try {
    target(input);
  } catch (const Error& e) {
    const std::string_view message = e.what();
    const bool refused = e.code() == ExitCode::data || e.code() == ExitCode::config || e.code() == ExitCode::no_input;
    if (refused && message.size() < 10'000) return;
    std::fprintf(stderr, "an input must not end with exit code %d: %s\n", int(e.code()), e.what());
    std::abort();
  }
}

// What must hold for every input.
inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// A folder in memory (tmpfs where there is one) for parsers that read files; removed at exit.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path write(const std::string& name, std::string_view content) const;
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
};

// The parts of an input between lines that are "%%%"; missing ones are empty.
std::string_view next_part(std::string_view& rest);

// Keeps the optimiser from dropping what nobody reads.
inline void use(const void* p) { asm volatile("" : : "r"(p) : "memory"); }

struct Registration {
  Registration(const char* name, Target target);
};

}  // namespace tw::fuzz

#ifdef TW_FUZZ_REPLAY
#define TW_FUZZ_TARGET(name)                                           \
  namespace tw::fuzz {                                                 \
  void name##_target(std::string_view input);                          \
  static const Registration name##_registration(#name, name##_target); \
  }                                                                    \
  void tw::fuzz::name##_target([[maybe_unused]] std::string_view input)
#else
#define TW_FUZZ_TARGET(name)                                                             \
  namespace tw::fuzz {                                                                   \
  void name##_target(std::string_view input);                                            \
  }                                                                                      \
  extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {              \
    tw::fuzz::run(tw::fuzz::name##_target, {reinterpret_cast<const char*>(data), size}); \
    return 0;                                                                            \
  }                                                                                      \
  void tw::fuzz::name##_target([[maybe_unused]] std::string_view input)
#endif
