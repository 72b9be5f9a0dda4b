# tw_test(NAME files... [LIBS libs...] [NP n...] [LABEL l] [TIMEOUT s] [PROCESSORS p])
# One GoogleTest program. Without NP it is one ctest entry NAME; with NP it runs under mpirun, one
# entry NAME_np<n> for each n.
set(TW_MPIRUN_ENVIRONMENT OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
    OMPI_MCA_mpi_yield_when_idle=1)

function(tw_test name)
  cmake_parse_arguments(T "" "LABEL;TIMEOUT;PROCESSORS" "LIBS;NP" ${ARGN})
  add_executable(${name} ${T_UNPARSED_ARGUMENTS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR})
  if(TARGET tw_test_headers)
    target_precompile_headers(${name} REUSE_FROM tw_test_headers)
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  if(T_NP)
    target_link_libraries(${name} PRIVATE ${T_LIBS} tw_mpi_gtest_main GTest::gmock)
    foreach(n ${T_NP})
      add_test(NAME ${name}_np${n} COMMAND mpirun -np ${n} $<TARGET_FILE:${name}>)
      set_tests_properties(${name}_np${n} PROPERTIES LABELS mpi TIMEOUT ${T_TIMEOUT} PROCESSORS 2
                           ENVIRONMENT "${TW_MPIRUN_ENVIRONMENT}")
    endforeach()
  else()
    if(NOT T_LABEL)
      set(T_LABEL unit)
    endif()
    if(NOT T_PROCESSORS)
      set(T_PROCESSORS 1)
    endif()
    target_link_libraries(${name} PRIVATE ${T_LIBS} GTest::gtest_main GTest::gmock)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS ${T_LABEL} TIMEOUT ${T_TIMEOUT}
                         PROCESSORS ${T_PROCESSORS})
  endif()
endfunction()
