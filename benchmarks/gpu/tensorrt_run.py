"""Runs an engine on the GPU: TensorRT or TensorRT-RTX, plain or as a CUDA graph, and times it.

The smallest thing that gives scores and times of an engine, to check engines with; no product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.engine import Engine
from export.engine.api import load_toolkit
from export.engine.plan import TensorInfo

RUNTIME_CALLS = {  # what is called here and not in export.engine; a test looks it up
    "Logger": (),
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": ("create_execution_context",),
    "IExecutionContext": ("set_input_shape", "set_tensor_address", "execute_async_v3"),
}


class CudaError(RuntimeError):
    """A CUDA call that failed."""


def cuda_runtime() -> ModuleType:
    """Return cuda-python's runtime module, whose place has changed over the versions."""
    try:
        from cuda.bindings import runtime
    except ImportError:
        from cuda import cudart as runtime
    return runtime


def checked(answer: tuple[Any, ...]) -> Any:
    """Return what a CUDA call gives beside its status.

    Raises:
        CudaError: The status isn't success.
    """
    status, *values = answer
    if int(status) != 0:
        raise CudaError(f"CUDA: {status.name}")
    return values[0] if len(values) == 1 else values


class LoadedEngine:
    """An engine on the GPU with one context, one stream and fixed buffers.

    Args:
        engine: What to load.
        batch: Frames at once.
    """

    def __init__(self, engine: Engine, batch: int = 1) -> None:
        self._cuda = cuda_runtime()
        trt: Any = load_toolkit(engine.backend).module
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine.plan)
        if self._engine is None:
            raise RuntimeError("The plan cannot be deserialised on this machine.")
        self._context = self._engine.create_execution_context()
        self._stream = checked(self._cuda.cudaStreamCreate())
        self._host = {x.name: np.zeros(_shape(x, batch), x.type) for x in engine.inputs}
        self._results = {x.name: np.zeros(_shape(x, batch), x.type) for x in engine.outputs}
        self._device: dict[str, int] = {}
        for name, array in {**self._host, **self._results}.items():
            self._device[name] = int(checked(self._cuda.cudaMalloc(array.nbytes)))
            self._context.set_tensor_address(name, self._device[name])
        for tensor in engine.inputs:
            if tensor.shapes:
                self._context.set_input_shape(tensor.name, _shape(tensor, batch))

    def infer(self, inputs: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
        """Score frames, copies to and from the GPU included."""
        kinds = self._cuda.cudaMemcpyKind
        for name, array in inputs.items():
            np.copyto(self._host[name], array)
            self._copy(self._device[name], self._host[name], kinds.cudaMemcpyHostToDevice)
        self._enqueue()
        for name, array in self._results.items():
            self._copy(array, self._device[name], kinds.cudaMemcpyDeviceToHost)
        checked(self._cuda.cudaStreamSynchronize(self._stream))
        return {name: array.copy() for name, array in self._results.items()}

    def time_plain(self, runs: int, warm_up: int) -> list[float]:
        """Milliseconds on the GPU of each run, without copies."""
        return self._time(self._enqueue, runs, warm_up)

    def time_graph(self, runs: int, warm_up: int) -> list[float]:
        """The same with the whole network launched as one CUDA graph."""
        for _ in range(2):  # the first runs allocate and compile, which no graph can hold
            self._enqueue()
        checked(self._cuda.cudaStreamSynchronize(self._stream))
        with self._captured() as graph:
            return self._time(
                lambda: checked(self._cuda.cudaGraphLaunch(graph, self._stream)), runs, warm_up
            )

    def time_host(self, inputs: Mapping[str, NDArray[np.uint8]], runs: int) -> list[float]:
        """Milliseconds of each `infer`, by the clock of the CPU."""
        samples = []
        for _ in range(runs):
            start = perf_counter()
            self.infer(inputs)
            samples.append((perf_counter() - start) * 1e3)
        return samples

    def close(self) -> None:
        """Free the buffers."""
        for address in self._device.values():
            checked(self._cuda.cudaFree(address))
        checked(self._cuda.cudaStreamDestroy(self._stream))
        self._device = {}

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._stream)):
            raise RuntimeError("TensorRT refused to run the engine.")

    def _copy(self, target: Any, source: Any, kind: Any) -> None:
        pointers = [x.ctypes.data if isinstance(x, np.ndarray) else x for x in (target, source)]
        size = next(x.nbytes for x in (target, source) if isinstance(x, np.ndarray))
        checked(self._cuda.cudaMemcpyAsync(*pointers, size, kind, self._stream))

    @contextmanager
    def _captured(self) -> Iterator[Any]:
        cuda = self._cuda
        mode = cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        checked(cuda.cudaStreamBeginCapture(self._stream, mode))
        try:
            self._enqueue()
        finally:
            graph = checked(cuda.cudaStreamEndCapture(self._stream))
        executable = checked(cuda.cudaGraphInstantiate(graph, 0))
        try:
            yield executable
        finally:
            checked(cuda.cudaGraphExecDestroy(executable))
            checked(cuda.cudaGraphDestroy(graph))

    def _time(self, launch: Any, runs: int, warm_up: int) -> list[float]:
        cuda = self._cuda
        start, stop = checked(cuda.cudaEventCreate()), checked(cuda.cudaEventCreate())
        samples = []
        for number in range(-warm_up, runs):
            checked(cuda.cudaEventRecord(start, self._stream))
            launch()
            checked(cuda.cudaEventRecord(stop, self._stream))
            checked(cuda.cudaEventSynchronize(stop))
            if number >= 0:
                samples.append(float(checked(cuda.cudaEventElapsedTime(start, stop))))
        return samples


def _shape(tensor: TensorInfo, batch: int) -> tuple[int, ...]:
    """The shape of a tensor for a number of frames; a free input knows the pictures of one."""
    if -1 not in tensor.shape:
        return tensor.shape
    smallest = tensor.shapes[0]
    return (smallest[0] * batch, *smallest[1:])
