#include "src/roof/roof.h"

#include <algorithm>
#include <cmath>

#include "src/core/thread_team.h"
#include "src/machine/kernel_files.h"

namespace tw {

double MemoryRate::best() const { return std::max({read, copy, triad}); }

double Roof::flops_per_second(DType dtype) const {
  double best = 0;
  for (const MatrixRate& r : matrix)
    if (r.dtype == dtype) best = std::max(best, r.best());
  return best;
}

double Roof::bytes_per_second(double bytes) const {
  for (const MemoryRate& r : memory)
    if (bytes <= r.capacity) return r.best();
  return 0;
}

double Roof::floor_seconds(const OpWork& work) const {
  // Types without matrix products of their own (u8, fp64) are computed in fp32 or not at all.
  const double flops = flops_per_second(work.dtype == DType::bf16 ? DType::bf16 : DType::fp32);
  const double bytes = bytes_per_second(work.bytes);
  return std::max(flops > 0 ? work.flops / flops : 0, bytes > 0 ? work.bytes / bytes : 0);
}

CacheSizes cache_sizes(int threads, const std::filesystem::path& root) {
  CacheSizes sizes{.l2 = double(1 << 20) * threads, .l3 = double(32 << 20)};
  const std::filesystem::path caches = root / "sys/devices/system/cpu/cpu0/cache";
  for (const std::string& name : kernel_names(caches)) {
    const auto level = kernel_number(caches / name / "level"), size = kernel_number(caches / name / "size");  // "1024K"
    if (!level || !size || *size <= 0 || kernel_text(caches / name / "type") == "Instruction") continue;
    const double unit = kernel_text(caches / name / "size").ends_with('M') ? 1 << 20 : 1 << 10;
    const size_t sharing = std::max<size_t>(1, parse_cpu_list(kernel_text(caches / name / "shared_cpu_list")).size());
    const double bytes = *size * unit * std::ceil(double(threads) / double(sharing));
    if (*level == 2) sizes.l2 = bytes;
    if (*level == 3) sizes.l3 = bytes;
  }
  return sizes;
}

Roof measure_roof(Communicator& comm, const Stream& stream, const std::function<void(const std::string&)>& say) {
  Roof roof;
  const bool on_gpu = stream.device().is_cuda();
  if (say) say("matrix products");
  roof.matrix = on_gpu ? measure_gpu_matrix_rates(comm, stream, 1.5) : measure_matrix_rates(comm, stream, 1.5);
  if (say) say("memory");
  if (on_gpu) roof.memory = measure_gpu_memory_rates(comm, stream, 0.4);
  else roof.memory = measure_memory_rates(comm, stream, cache_sizes(stream.team().size()), 0.4);
  return roof;
}

}  // namespace tw
