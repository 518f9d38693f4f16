# framescore_cuda_architectures(TOOLKIT_VERSION RESULT): what kernels are compiled for, as CMake's
# CUDA_ARCHITECTURES: A100, consumer Ampere, Orin, Ada, Hopper, Thor, consumer Blackwell; and PTX,
# from which the driver compiles for every other GPU since Ampere.
function(framescore_cuda_architectures toolkit_version result)
  set(architectures 80-real 86-real 87-real 89-real 90-real)
  if(toolkit_version VERSION_GREATER_EQUAL 13.0)
    list(APPEND architectures 110-real) # CUDA 12.8 called Thor 101
  endif()
  if(toolkit_version VERSION_GREATER_EQUAL 12.8)
    list(APPEND architectures 120-real)
  endif()
  set(${result} ${architectures} 80-virtual PARENT_SCOPE)
endfunction()
