# Sets FRAMESCORE_BUILD_CUDA from FRAMESCORE_CUDA (AUTO, ON, OFF), says what was decided and why,
# and defines framescore_cuda_target(TARGET): the architectures and flags of every CUDA target.
include(${CMAKE_CURRENT_LIST_DIR}/cuda_architectures.cmake)
set(FRAMESCORE_BUILD_CUDA OFF)

if(NOT FRAMESCORE_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "FRAMESCORE_CUDA is '${FRAMESCORE_CUDA}'; allowed are AUTO, ON, OFF.")
endif()

if(FRAMESCORE_CUDA STREQUAL "OFF")
  message(STATUS "CUDA parts: off (FRAMESCORE_CUDA=OFF)")
elseif(FRAMESCORE_CUDA STREQUAL "AUTO" AND DEFINED SKBUILD)
  # `pip install` takes seconds, with or without a toolkit on the machine.
  message(STATUS "CUDA parts: left out of the Python build; FRAMESCORE_CUDA=ON adds them")
elseif(NOT EXISTS "${PROJECT_SOURCE_DIR}/kernels/CMakeLists.txt")
  if(FRAMESCORE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FRAMESCORE_CUDA=ON, but this source tree has no kernels/ folder to build. "
                        "Use FRAMESCORE_CUDA=AUTO or OFF.")
  endif()
  message(STATUS "CUDA parts: none in this source tree; building the CPU parts")
else()
  # nvcc without the toolkit's headers exists in the wild, hence both questions.
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80) # for CMake's own trials; targets set theirs below
  endif()
  check_language(CUDA)
  find_package(CUDAToolkit QUIET)
  if(CMAKE_CUDA_COMPILER AND CUDAToolkit_FOUND)
    set(FRAMESCORE_BUILD_CUDA ON)
    message(STATUS "CUDA parts: building with ${CMAKE_CUDA_COMPILER} ${CUDAToolkit_VERSION}")
  elseif(FRAMESCORE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FRAMESCORE_CUDA=ON, but no complete CUDA toolkit was found (nvcc: "
                        "'${CMAKE_CUDA_COMPILER}', toolkit headers: '${CUDAToolkit_FOUND}'). "
                        "Install the toolkit, put nvcc on PATH or set CUDACXX; or use AUTO or OFF.")
  else()
    message(STATUS "CUDA parts: skipped, no complete CUDA toolkit found; building the CPU parts")
  endif()
endif()

if(FRAMESCORE_BUILD_CUDA)
  framescore_cuda_architectures(${CUDAToolkit_VERSION} architectures)
  set(FRAMESCORE_CUDA_ARCHITECTURES "${architectures}" CACHE STRING
      "What the kernels are compiled for, as CMake's CUDA_ARCHITECTURES")
  message(STATUS "CUDA architectures: ${FRAMESCORE_CUDA_ARCHITECTURES}")
  enable_language(CUDA)
endif()

function(framescore_cuda_target target)
  set_target_properties(${target} PROPERTIES
    CUDA_ARCHITECTURES "${FRAMESCORE_CUDA_ARCHITECTURES}"
    CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF
    CUDA_RUNTIME_LIBRARY Static
    CUDA_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden
    POSITION_INDEPENDENT_CODE ON)
  # Compressed, and without line numbers (for a profiler: CUDAFLAGS=-lineinfo): a tenth of the size.
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-Xfatbin=-compress-all -Xcompiler=-Wall>)
endfunction()
