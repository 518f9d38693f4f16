from __future__ import annotations

import io

import pytest

from export.engine.log import BuildLog, clean

# Messages of TensorRT-RTX 1.7.1 as they came.
MESSAGES = {
    "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([pass.cpp:337: "
    "check_turing_op_compatibility] Cannot compile operation 'm' for Turing (SM75): FP32 GEMM is "
    "not supported. In compileGraph at /_src/optimizer/myelin/codeGenerator.cpp:2012)": "Cannot "
    "compile operation 'm' for Turing (SM75): FP32 GEMM is not supported",
    "ITensor::getDimensions: Error Code 4: API Usage Error (permute: first input has type UInt8 "
    "but must have type Bool. In checkType at /_src/optimizer/common/nodeBase.cpp:456)\n"
    "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at "
    "/_src/common/dispatch/checkMacros.cpp:250 (cudaError 35: CUDA driver version is insufficient "
    "for CUDA runtime version))": "permute: first input has type UInt8 but must have type Bool",
    "IBuilder::buildSerializedNetwork: Error Code 7: BuildCanceled (Build canceled by user In next "
    "at /_src/optimizer/common/scopedProgressReporter.cpp:92)": "Build canceled by user",
    "false": "false",
}


@pytest.mark.parametrize("message", list(MESSAGES), ids=range(len(MESSAGES)))
def test_messages_are_cleaned(message: str) -> None:
    assert clean(message) == MESSAGES[message]


def test_the_file_holds_everything_and_errors_are_kept() -> None:
    file = io.StringIO()
    log = BuildLog(file)
    log.add("INFO", "a")
    log.add("ERROR", "API::f: Error Code 4: Usage (b In g at /h.cpp:1)")
    log.add("ERROR", "ModelImporter.cpp:140: While parsing node number 0")
    log.add("VERBOSE", "Layers:\nName: x\nName: y")
    assert file.getvalue().splitlines()[0] == "[I] a"
    assert len(file.getvalue().splitlines()) == 6
    assert log.errors == ["b"]
    assert log.layers == "Name: x\nName: y"
