"""ONNX Runtime on the CPU: the fallback, and in FP32 the reference that others are held to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from sdk.backends.base import (
    BackendOptions,
    Signature,
    check_signature,
    closed_error,
    first_line,
    graph_for,
    returned,
)
from sdk.cpus import cpu_name
from sdk.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdk.bundle import Bundle

_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
_FATAL = 4  # log severity: warnings about the host (GPU discovery and so on) are not ours to print


def precisions() -> tuple[str, ...]:
    """Name the arithmetic it runs the reference in: FP32 only."""
    return ("fp32",)


def open_backend(bundle: Bundle, options: BackendOptions) -> OnnxRuntimeBackend:
    """Load the bundle's network; see `sdk.backends.base.BackendModule`."""
    return OnnxRuntimeBackend(bundle, options)


class OnnxRuntimeBackend:
    """A session that as many threads may run at once as it has lanes.

    Args:
        bundle: The model.
        options: Precision, threads and lanes.

    Raises:
        BundleError: The network does not fit its manifest.
        BackendError: ONNX Runtime cannot load it.
    """

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, options: BackendOptions) -> None:
        graph = graph_for(bundle, options.precision)
        try:
            session = ort.InferenceSession(
                bundle.members[graph.file],
                _session_options(options),
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # its exceptions have no common base but this
            raise BackendError(
                f"ONNX Runtime {ort.__version__} cannot load {graph.file} of "
                f"{bundle.path}: {first_line(error)}.",
                hint="Try backend='openvino', or upgrade: pip install --upgrade onnxruntime",
            ) from error
        inputs, outputs = session.get_inputs(), session.get_outputs()
        check_signature(bundle, graph, _signature(inputs), _signature(outputs))
        self.precision = options.precision
        self.device = cpu_name()
        self.lanes = options.lanes
        self._names = returned(bundle, options)  # what is not asked for is not copied
        self._session: Any = session
        self._slots = threading.BoundedSemaphore(options.lanes)

    def infer(self, inputs: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
        """Run one frame; see `sdk.backends.base.Backend`."""
        with self._slots:
            session = self._session
            if session is None:
                raise closed_error(self.name)
            try:
                values = session.run(self._names, dict(inputs))  # releases the GIL
            except Exception as error:  # its exceptions have no common base but this
                raise BackendError(
                    f"ONNX Runtime failed on a frame: {first_line(error)}."
                ) from error
        return {name: value.ravel() for name, value in zip(self._names, values, strict=True)}

    def close(self) -> None:
        """Release the network; frames under way finish."""
        self._session = None


def _session_options(options: BackendOptions) -> Any:
    settings = ort.SessionOptions()
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = _FATAL
    # Without VNNI its int8 kernels add pairs of products in 16 bits, where 8-bit weights saturate.
    settings.add_session_config_entry("session.x64quantprecision", "1")
    if options.lanes > 1:  # each lane's caller is its one thread
        settings.intra_op_num_threads = 1
    elif options.threads is not None:
        settings.intra_op_num_threads = options.threads
    return settings


def _signature(nodes: list[Any]) -> Signature:
    """Names, types and shapes of a session's inputs or outputs; sizes unknown are -1."""
    return {
        node.name: (
            _DTYPES.get(node.type, node.type),
            tuple(size if isinstance(size, int) else -1 for size in node.shape),
        )
        for node in nodes
    }
