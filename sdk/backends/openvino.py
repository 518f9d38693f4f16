"""OpenVINO on the CPU: the default backend."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov  # type: ignore[import-untyped]

from sdk.backends.base import (
    BackendOptions,
    Signature,
    check_signature,
    closed_error,
    first_line,
    graph_for,
    returned,
)
from sdk.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from sdk.bundle import Bundle

# Of fp16 and int8 graphs, what is not fp16 or int8 by its type runs in FP32.
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f32", "int8": "f32"}


@cache
def _core() -> ov.Core:
    """One for the process, never freed.

    The CPU plugin lends the thread that loads it a stack for signal handlers and unmaps it wherever
    it is destroyed. Freed by another thread, or before a younger one, the next handler of that
    thread (of Ctrl-C, of a child's end) would run on no stack at all and end the process.
    """
    return ov.Core()


def precisions() -> tuple[str, ...]:
    """Name what this CPU computes natively, fastest first."""
    native = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("bf16", "fp32") if "BF16" in native else ("fp32",)


def open_backend(bundle: Bundle, options: BackendOptions) -> OpenVinoBackend:
    """Compile the bundle's network; see `sdk.backends.base.BackendModule`."""
    return OpenVinoBackend(bundle, options)


class OpenVinoBackend:
    """A compiled network with one infer request per lane.

    Compiling is not cached on disk: a cache would save about 0.15 s of 0.35 s and cost a folder
    of files to trust, to lock and to prune.

    Args:
        bundle: The model.
        options: Precision, threads and lanes.

    Raises:
        BundleError: The network does not fit its manifest.
        BackendError: OpenVINO cannot compile it, or not in that precision.
    """

    name = "openvino"

    def __init__(self, bundle: Bundle, options: BackendOptions) -> None:
        core = _core()
        graph = graph_for(bundle, options.precision)
        try:
            model = core.read_model(bundle.members[graph.file])
            outputs = _signature(model.outputs, bundle.manifest.outputs)
            inputs = _signature(model.inputs, bundle.views)
            check_signature(bundle, graph, inputs, outputs)
            wanted = returned(bundle, options)
            for name in set(outputs) - set(wanted):
                model.remove_result(model.output(name).get_node())  # not even copied
            if graph.dynamic_batch:
                model.reshape({name: list(view.shape) for name, view in bundle.views.items()})
            compiled = core.compile_model(model, "CPU", _config(options))
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO {ov.__version__} cannot compile {graph.file} of "
                f"{bundle.path}: {first_line(error)}.",
                hint="Try backend='onnxruntime', or upgrade: pip install --upgrade openvino",
            ) from error
        self.precision = _check_precision(compiled, options.precision)
        self.device = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        self.lanes = options.lanes
        # The order stays; the names of compiled outputs gather those of values fused into them.
        kept = [name for name in outputs if name in wanted]
        self._outputs = {name: index for index, name in enumerate(kept)}
        # Last in, first out: the request used last has its buffers still in cache.
        self._idle: LifoQueue[Any] = LifoQueue()
        for _ in range(options.lanes):
            self._idle.put(compiled.create_infer_request())
        self._closed = False

    def infer(self, inputs: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
        """Run one frame; see `sdk.backends.base.Backend`."""
        request = self._idle.get()
        try:
            if self._closed:
                raise closed_error(self.name)
            request.infer(dict(inputs), share_inputs=True)  # releases the GIL
            return {
                name: request.get_output_tensor(index).data.ravel().copy()
                for name, index in self._outputs.items()
            }
        except RuntimeError as error:
            raise BackendError(f"OpenVINO failed on a frame: {first_line(error)}.") from error
        finally:
            self._idle.put(None if self._closed else request)

    def close(self) -> None:
        """Release the network; frames under way finish."""
        self._closed = True
        with suppress(Empty):
            while True:
                self._idle.get_nowait()
        self._idle.put(None)  # whoever waits takes it, sees that all is over, and puts it back


def _config(options: BackendOptions) -> dict[str, Any]:
    config: dict[str, Any] = {
        # Always said aloud: left to its default, OpenVINO computes in bf16 where the CPU has it.
        "INFERENCE_PRECISION_HINT": _HINTS[options.precision],
        "PERFORMANCE_HINT": "LATENCY" if options.lanes == 1 else "THROUGHPUT",
        # Pinned, the threads of two processes fight over the same cores while others idle, and
        # the decoder beside them has no core of its own.
        "ENABLE_CPU_PINNING": False,
    }
    if options.lanes > 1:
        config["NUM_STREAMS"] = options.lanes
    if options.threads is not None:
        config["INFERENCE_NUM_THREADS"] = options.threads
    return config


def _signature(ports: list[Any], wanted: Iterable[str]) -> Signature:
    """Names, types and shapes of a model's inputs or outputs; sizes unknown are -1.

    Of several names for one value, the wanted one counts.
    """
    return {
        min(port.get_names() & {*wanted}, default=port.get_any_name()): (
            str(np.dtype(port.element_type.to_dtype())),
            tuple(dim.get_length() if dim.is_static else -1 for dim in port.get_partial_shape()),
        )
        for port in ports
    }


def _check_precision(compiled: Any, precision: str) -> str:
    """Make sure that the hint was followed; OpenVINO falls back without a word."""
    used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if used == _HINTS[precision]:
        return precision
    raise BackendError(
        f"OpenVINO computes in {used} here, not in {precision}.",
        hint="Use precision='auto' or 'fp32'.",
    )
