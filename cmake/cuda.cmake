# Sets FRAMESCORE_BUILD_CUDA from FRAMESCORE_CUDA (AUTO, ON, OFF) and says what was decided and why.
set(FRAMESCORE_BUILD_CUDA OFF)

if(NOT FRAMESCORE_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "FRAMESCORE_CUDA is '${FRAMESCORE_CUDA}'; allowed are AUTO, ON, OFF.")
endif()

if(FRAMESCORE_CUDA STREQUAL "OFF")
  message(STATUS "CUDA parts: off (FRAMESCORE_CUDA=OFF)")
elseif(NOT EXISTS "${PROJECT_SOURCE_DIR}/kernels/CMakeLists.txt")
  if(FRAMESCORE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "FRAMESCORE_CUDA=ON, but this source tree has no kernels/ folder to build. "
                        "Use FRAMESCORE_CUDA=AUTO or OFF.")
  endif()
  message(STATUS "CUDA parts: none in this source tree; building the CPU parts")
else()
  # nvcc without the toolkit's headers exists in the wild, hence both questions.
  include(CheckLanguage)
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
