#include "comm/arguments.h"

namespace tw {
namespace {

bool overlap(ConstView a, ConstView b) {
  if (a.bytes() == 0 || b.bytes() == 0) return false;
  const auto a_begin = reinterpret_cast<uintptr_t>(a.data), b_begin = reinterpret_cast<uintptr_t>(b.data);
  return a_begin < b_begin + b.bytes() && b_begin < a_begin + a.bytes();
}

std::string described(ConstView v) { return fmt::format("{} {}", name_of(v.dtype), v.shape.str()); }

void check_part_sizes(const Communicator& comm, const char* call, ConstView part, ConstView many) {
  TW_CHECK(part.dtype == many.dtype && part.count() * comm.size() == many.count(), bug,
           "{} ({}): {} ranks need equal dtypes and {} times the part's elements, got a part of {} and a whole of {}",
           call, comm.transport(), comm.size(), comm.size(), described(part), described(many));
}

}  // namespace

void check_host(const Communicator& comm, const char* call, ConstView view) {
  TW_CHECK(view.device.is_cpu(), bug, "{} ({}): carries host memory only, got {} on CUDA device {}", call,
           comm.transport(), described(view), view.device.index);
}

void check_reducible(const Communicator& comm, const char* call, ConstView view) {
  TW_CHECK(view.dtype == DType::fp32 || view.dtype == DType::fp64 || view.dtype == DType::i32 ||
               view.dtype == DType::i64,
           bug, "{} ({}): reduces fp32, fp64, i32 and i64, got {}", call, comm.transport(), described(view));
}

void check_parts(const Communicator& comm, const char* call, ConstView part, ConstView many) {
  check_part_sizes(comm, call, part, many);
  TW_CHECK(!overlap(part, many), bug, "{} ({}): in and out share memory", call, comm.transport());
}

bool check_all_gather(const Communicator& comm, const char* call, ConstView part, ConstView many) {
  check_part_sizes(comm, call, part, many);
  if (!overlap(part, many)) return false;
  const auto* own = static_cast<const std::byte*>(many.data) + size_t(comm.rank()) * part.bytes();
  TW_CHECK(part.data == own, bug, "{} ({}): in shares memory with out but is not part {} of it", call,
           comm.transport(), comm.rank());
  return true;
}

void check_all_to_all(const Communicator& comm, const char* call, ConstView in, ConstView out) {
  TW_CHECK(in.dtype == out.dtype && in.count() == out.count() && in.count() % comm.size() == 0, bug,
           "{} ({}): {} ranks need equal dtypes and counts that are a multiple of {}, got in {} and out {}", call,
           comm.transport(), comm.size(), comm.size(), described(in), described(out));
  TW_CHECK(!overlap(in, out), bug, "{} ({}): in and out share memory", call, comm.transport());
}

void check_root(const Communicator& comm, const char* call, int root) {
  TW_CHECK(root >= 0 && root < comm.size(), bug, "{} ({}): root {} is not one of {} ranks", call, comm.transport(),
           root, comm.size());
}

void check_peer(const Communicator& comm, const char* call, int peer, int tag) {
  TW_CHECK(peer >= 0 && peer < comm.size() && peer != comm.rank(), bug,
           "{} ({}): rank {} of {} cannot reach rank {}: name another rank", call, comm.transport(), comm.rank(),
           comm.size(), peer);
  TW_CHECK(tag >= 0 && tag <= 32767, bug, "{} ({}): tag {} is outside 0 ... 32767", call, comm.transport(), tag);
}

void check_color(const Communicator& comm, int color) {
  TW_CHECK(color >= 0, bug, "split ({}): colour {} is negative", comm.transport(), color);
}

}  // namespace tw
