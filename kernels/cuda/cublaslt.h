// The entries of cuBLASLt that we call, looked up when the first product is asked for: a machine without GPUs need not have
// the library (500 MB of it).
#pragma once
#include <cublasLt.h>

#include "src/core/dynamic_library.h"

namespace tw::cuda {

struct CublasLt {
  CublasLt();  // Error(config) where it is missing
  DynamicLibrary library;
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulDescCreate) create_product = nullptr;
  decltype(&cublasLtMatmulDescDestroy) destroy_product = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_product = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) create_layout = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;
};
const CublasLt& cublaslt();  // loaded once

void check_cublas(cublasStatus_t status, const char* expression, std::source_location where);

}  // namespace tw::cuda

#define TW_CUBLAS_CHECK(call) ::tw::cuda::check_cublas((call), #call, std::source_location::current())
