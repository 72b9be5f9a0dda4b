// Of a build without the headers of cudnn-frontend.
#include "kernels/cuda/attention_cudnn.h"
#include "src/core/error.h"

namespace tw::cuda {

struct CudnnAttention::State {};

std::string cudnn_absence() { return "this program was built without the headers of cudnn-frontend"; }
CudnnAttention::CudnnAttention(Device) { TW_FAIL(config, "{}", cudnn_absence()); }
CudnnAttention::~CudnnAttention() = default;
bool CudnnAttention::takes(ConstView, ConstView) { return false; }
void CudnnAttention::forward(const AttentionForward&, const Stream&) {}
void CudnnAttention::backward(const AttentionBackward&, const Stream&) {}

}  // namespace tw::cuda
