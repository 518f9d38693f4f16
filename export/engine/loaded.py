"""Runs an engine on the GPU: TensorRT or TensorRT-RTX, plain or as a CUDA graph, and times it.

The smallest thing that gives scores and times of an engine, to check and compare engines with; no
product. It has never run: where it was written there was no GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from export.engine.api import load_toolkit
from export.engine.cuda import checked, cuda_runtime
from export.engine.log import BuildLog, make_logger
from export.engine.plan import TensorInfo
from sdk.errors import BackendError

if TYPE_CHECKING:
    from typing import TextIO

    from numpy.typing import NDArray


class LoadedEngine:
    """An engine on the GPU with one context, one stream and fixed buffers, at its usual batch.

    Args:
        backend: "tensorrt" or "tensorrt_rtx".
        plan: The plan. Libraries that lie in it are loaded: give none but your own.
        tensors: Its inputs and outputs.
        log: Gets the runtime's messages.

    Raises:
        BackendError: The plan cannot be loaded on this machine, or there is no cuda-python.
    """

    def __init__(
        self, backend: str, plan: bytes, tensors: Sequence[TensorInfo], log: TextIO
    ) -> None:
        self._cuda = cuda_runtime()
        trt = load_toolkit(backend).module
        self._logger = make_logger(trt, BuildLog(log))
        self._runtime = trt.Runtime(self._logger)
        self._runtime.engine_host_code_allowed = True
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise BackendError("The plan cannot be loaded on this machine.")
        self._context = self._engine.create_execution_context()
        self._stream = checked(self._cuda.cudaStreamCreate())
        arrays = {x.name: np.zeros(usual_shape(x), x.type) for x in tensors}
        self._host = {x.name: arrays[x.name] for x in tensors if x.mode == "input"}
        self._results = {x.name: arrays[x.name] for x in tensors if x.mode == "output"}
        self._device: dict[str, int] = {}
        for name, array in arrays.items():
            self._device[name] = int(checked(self._cuda.cudaMalloc(array.nbytes)))
            self._context.set_tensor_address(name, self._device[name])
        for tensor in tensors:
            if tensor.mode == "input" and tensor.shapes:
                self._context.set_input_shape(tensor.name, usual_shape(tensor))

    def infer(self, inputs: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
        """Score frames, copies to and from the GPU included; fewer than a batch are repeated."""
        kinds = self._cuda.cudaMemcpyKind
        for name, array in inputs.items():
            np.copyto(self._host[name].reshape(-1, *array.shape), array)
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
            raise BackendError("TensorRT refused to run the engine.")

    def _copy(
        self, target: int | NDArray[np.generic], source: int | NDArray[np.generic], kind: object
    ) -> None:
        pointers = [x.ctypes.data if isinstance(x, np.ndarray) else x for x in (target, source)]
        size = next(x.nbytes for x in (target, source) if isinstance(x, np.ndarray))
        checked(self._cuda.cudaMemcpyAsync(*pointers, size, kind, self._stream))

    @contextmanager
    def _captured(self) -> Iterator[object]:
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

    def _time(self, launch: Callable[[], object], runs: int, warm_up: int) -> list[float]:
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


def usual_shape(tensor: TensorInfo) -> tuple[int, ...]:
    """The shape of a tensor for the usual batch."""
    return tensor.shapes[1] if tensor.shapes else tensor.shape
