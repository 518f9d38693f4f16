// c_abi.h: the launch functions of framescore/kernels/*.h with C linkage, for every language that
// can call C; sdk/_kernels.py is one. What is launch_X there is framescore_X here; it takes the
// structures of its header by pointer and returns a framescore::kernels::Status as an int. The
// structures hold only integers, floats and pointers. No function throws or prints.
#pragma once

#define FRAMESCORE_C extern "C" __attribute__((visibility("default")))

namespace framescore::kernels {}
namespace kernels = framescore::kernels;
