// A library that is looked for when the program runs: what is not there is said, and the program goes on without it.
#pragma once
#include <dlfcn.h>

#include <string>

#include "src/core/error.h"
#include "src/core/handle.h"

namespace tw {

class DynamicLibrary {
 public:
  // Error(no_input) with the loader's words. "" = the program itself.
  explicit DynamicLibrary(const std::string& name) : handle_(::dlopen(name.empty() ? nullptr : name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    TW_CHECK(handle_, no_input, "{}", ::dlerror());
  }
  // The entry `name`, or nullptr. Function: a pointer to a function of its signature.
  template <class Function>
  Function find(const char* name) const {
    return reinterpret_cast<Function>(::dlsym(handle_.get(), name));
  }
  // The same, but it must be there: Error(no_input).
  template <class Function>
  void load(const char* name, Function& function) const {
    function = find<Function>(name);
    TW_CHECK(function, no_input, "it has no {}", name);
  }

 private:
  struct Traits {
    using type = void*;
    static type invalid() noexcept { return nullptr; }
    static void close(type handle) noexcept { ::dlclose(handle); }
  };
  Handle<Traits> handle_;
};

}  // namespace tw
