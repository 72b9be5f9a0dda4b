// Of a build without CUDA.
#include "src/core/error.h"
#include "src/core/gpu.h"

namespace tw::gpu {
namespace {
[[noreturn]] void refuse() { TW_FAIL(config, "{}", absence()); }
}  // namespace

bool built() noexcept { return false; }
const std::string& absence() {
  static const std::string why = "this program was built without CUDA";
  return why;
}
int count() { return 0; }
Properties properties(int) { refuse(); }
void* allocate(size_t, Device) { refuse(); }
void release(void*) noexcept {}
void* allocate_pinned(size_t) { refuse(); }
void release_pinned(void*) noexcept {}
void copy(void*, const void*, size_t, const Stream&) { refuse(); }
void synchronize(const Stream&) { refuse(); }
void StreamTraits::close(type) noexcept {}
void EventTraits::close(type) noexcept {}
void GraphTraits::close(type) noexcept {}
Queue::Queue(Device, ThreadTeam&) { refuse(); }
Event::Event(Device, bool) { refuse(); }
void Event::record(const Stream&) { refuse(); }
void Event::hold(const Stream&) const { refuse(); }
bool Event::done() const { refuse(); }
void Event::wait() const { refuse(); }
double Event::seconds_since(const Event&) const { refuse(); }
Graph::Graph(const Stream&, const std::function<void()>&) { refuse(); }
void Graph::start(const Stream&) const { refuse(); }
Range::Range(const char*) noexcept {}
Range::~Range() {}

}  // namespace tw::gpu
