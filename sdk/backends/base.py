"""What a backend is, and what a network must look like to run on one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from sdk.errors import BackendError, BundleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdk.bundle import Bundle
    from sdk.manifest import OnnxGraph

Signature = Mapping[str, "tuple[str, tuple[int, ...]]"]  # name -> (numpy dtype's name, shape)


class Backend(Protocol):
    """A network ready to run on one device in one precision.

    Attributes:
        name: Name in the registry, for example "openvino".
        precision: Arithmetic in use: one of `sdk.precision.PRECISIONS`.
        device: The device in human words.
        lanes: Frames it computes at the same time; further callers of `infer` wait.
    """

    name: str
    precision: str
    device: str
    lanes: int

    def infer(self, inputs: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
        """Run one frame; safe to call from several threads.

        Args:
            inputs: uint8 [N, H, W, 3] RGB, C-contiguous, by the name of the input.

        Returns:
            float32 [K] by the name of the output, owned by the caller; K is 1 but for
            `distortions`, `uncertainty` and `features`.

        Raises:
            BackendError: The runtime failed, or the backend is closed.
        """
        ...

    def close(self) -> None:
        """Release the network; calls of `infer` that are under way finish. May be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """How a backend shall be set up.

    Attributes:
        precision: One that the backend's `precisions` names, or that the bundle has a graph for.
        threads: CPU threads in all; None leaves the choice to the runtime.
        lanes: Frames to compute at the same time. With 1, all threads work on one frame (lowest
            latency); with more, the threads are shared out (highest throughput).
        features: Return the output `features` as well, where the model has it.
    """

    precision: str = "fp32"
    threads: int | None = None
    lanes: int = 1
    features: bool = False


class BackendModule(Protocol):
    """What each module of a backend offers to the registry."""

    def precisions(self) -> tuple[str, ...]:
        """Name what this machine computes natively, fastest first; "fp32" is always there."""
        ...

    def open_backend(self, bundle: Bundle, options: BackendOptions) -> Backend:
        """Compile the bundle's network.

        Raises:
            BundleError: The network does not fit the manifest.
            BackendError: The runtime cannot compile it.
        """
        ...


def graph_for(bundle: Bundle, precision: str) -> OnnxGraph:
    """Find the graph that a precision runs.

    fp32 and bf16 are the arithmetic in which a CPU runs the reference; fp16 and int8 are graphs
    of their own, whose rounding is part of the model.

    Raises:
        BundleError: The bundle has no such graph.
    """
    if precision in ("fp32", "bf16"):
        return bundle.manifest.onnx
    return bundle.describe_graph(precision)


def check_signature(
    bundle: Bundle, graph: OnnxGraph, inputs: Signature, outputs: Signature
) -> None:
    """Compare a network's inputs and outputs with the manifest.

    Args:
        bundle: Where both come from.
        graph: Which of its graphs.
        inputs: The network's inputs; unknown sizes are -1.
        outputs: The network's outputs, likewise.

    Raises:
        BundleError: A name, type or shape differs.
    """
    if graph.dynamic_batch:
        inputs, outputs = _with_batch_of_one(inputs), _with_batch_of_one(outputs)
    views = {name: ("uint8", view.shape) for name, view in bundle.views.items()}
    _compare(bundle, graph.file, "input", inputs, views)
    shapes = _output_shapes(bundle, outputs)
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {
        name: ("float32", shapes.get(name, (1,))) for name in bundle.manifest.outputs
    }
    _compare(bundle, graph.file, "output", outputs, wanted)


def _output_shapes(bundle: Bundle, found: Signature) -> dict[str, tuple[int, ...]]:
    """What is not [1]; the width of the features is the network's own affair."""
    _, shape = found.get("features", ("", ()))
    width = shape[1] if len(shape) == 2 else -1
    named = {name: (1, len(labels)) for name, labels in bundle.manifest.labels.items()}
    return {**named, "features": (1, max(1, width))}


def returned(bundle: Bundle, options: BackendOptions) -> list[str]:
    """Name the outputs that `infer` returns."""
    return [x for x in bundle.manifest.outputs if x != "features" or options.features]


def _with_batch_of_one(signature: Signature) -> Signature:
    return {
        name: (kind, (1, *shape[1:]) if shape[:1] == (-1,) else shape)
        for name, (kind, shape) in signature.items()
    }


def _compare(bundle: Bundle, file: str, what: str, found: Signature, wanted: Signature) -> None:
    for name in sorted({*found, *wanted}):
        if found.get(name) != wanted.get(name):
            raise BundleError(
                f"{bundle.path}: {what} {name!r} of {file} is {_describe(found.get(name))}; its "
                f"manifest asks for {_describe(wanted.get(name))}.",
                hint="Write the bundle again with framescore's export.",
            )


def _describe(entry: tuple[str, tuple[int, ...]] | None) -> str:
    return "missing" if entry is None else f"{entry[0]} {list(entry[1])}"


def closed_error(name: str) -> BackendError:
    """Build the error of a backend that is used after `close`."""
    return BackendError(f"The {name} backend is closed.", hint="Create a new Scorer.")


def first_line(error: Exception) -> str:
    """Cut a runtime's message, often pages of it, to its first telling line."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith("Exception from")]
    return (telling or lines or [""])[0] or type(error).__name__
