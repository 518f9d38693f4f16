"""What there is to verify: each graph of a bundle on each runtime of this machine."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec

from export.verify.typed import TYPED, TypedBackend
from sdk.backends.registry import BACKENDS, create_backend
from sdk.errors import BackendError, BundleError, UsageError
from sdk.manifest import GRAPH_PRECISIONS

if TYPE_CHECKING:
    from sdk.bundle import Bundle
    from sdk.manifest import OnnxGraph

_ROUNDED = ("fp16", "bf16", "int8+fp16")  # graphs of types that CPU runtimes do not compute in
_FOR_ENGINES = ("bf16", "int8+fp16")  # of these, what `sdk.backends` never runs on a CPU


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a model.

    Attributes:
        graph: Which of the bundle's graphs.
        backend: A runtime, or "typed": see `export.verify.typed`.
        precision: The graph's, or "bf16" where a CPU runs the FP32 graph in that arithmetic.
    """

    graph: OnnxGraph
    backend: str
    precision: str

    @property
    def is_graphs(self) -> bool:
        """Whether the precision is the graph's own, not an arithmetic that a CPU offers."""
        return self.precision == self.graph.precision

    def __str__(self) -> str:
        profile = "" if self.graph.profile == "compat" else f" {self.graph.profile}"
        return f"{self.precision}{profile} on {self.backend}"


def list_candidates(
    bundle: Bundle, backends: Sequence[str] | None = None, precisions: Sequence[str] | None = None
) -> list[Candidate]:
    """List what to verify, the reference first.

    Args:
        bundle: The model.
        backends: Runtimes, or "typed"; None takes all that are installed for the graphs that they
            run in service, and "typed" for those whose rounding they skip.
        precisions: Precisions; None takes all that the bundle has.

    Raises:
        UsageError: An unknown backend.
        BackendError: A named backend is not installed, or none is.
        BundleError: The bundle has no graph of a named precision.
    """
    wanted = _checked(backends)
    found = [
        candidate
        for graph in bundle.graphs()
        for backend in wanted
        for candidate in _of_graph(graph, backend, always=backends is not None)
        if precisions is None or candidate.precision in precisions
    ]
    for precision in precisions or ():
        if not any(candidate.precision == precision for candidate in found):
            has = ", ".join(dict.fromkeys(graph.precision for graph in bundle.graphs()))
            raise BundleError(
                f"{bundle.path} has nothing to run in {precision} on {', '.join(wanted)}; its "
                f"graphs are {has}.",
                hint="Write the bundle again with that precision: framescore export --help",
            )
    return found


@contextmanager
def open_candidate(
    bundle: Bundle, candidate: Candidate, threads: int | None = None
) -> Iterator[Any]:
    """Open a way to run a model as a backend; see `sdk.backends.base.Backend`.

    Args:
        bundle: The model.
        candidate: What of it to run.
        threads: CPU threads to use; None leaves the choice to the runtime.

    Yields:
        The backend, closed at the end.

    Raises:
        BackendError: The runtime cannot run the graph.
        BundleError: The graph does not fit the manifest.
    """
    with closing(_open(bundle, candidate, threads)) as backend:
        yield backend


def _open(bundle: Bundle, candidate: Candidate, threads: int | None) -> Any:
    graph = candidate.graph
    if candidate.backend == TYPED:
        return TypedBackend(bundle.members[graph.file], candidate.precision)
    # As the only graph of a bundle: its types say the precision, and every profile can be named.
    manifest = msgspec.structs.replace(
        bundle.manifest, onnx=msgspec.structs.replace(graph, precision="fp32"), variants=()
    )
    alone = dataclasses.replace(bundle, manifest=manifest)
    arithmetic = "fp32" if candidate.is_graphs else candidate.precision
    return create_backend(alone, candidate.backend, arithmetic, threads)


def _of_graph(graph: OnnxGraph, backend: str, *, always: bool) -> Iterator[Candidate]:
    wanted = _ROUNDED if backend == TYPED else {*GRAPH_PRECISIONS} - {*_FOR_ENGINES}
    if always or graph.precision in wanted:
        yield Candidate(graph, backend, graph.precision)
    if backend != TYPED and graph.precision == "fp32" and "bf16" in _native(backend):
        yield Candidate(graph, backend, "bf16")


def _native(backend: str) -> tuple[str, ...]:
    """What this machine runs FP32 graphs in."""
    precisions: tuple[str, ...] = import_module(BACKENDS[backend].module).precisions()
    return precisions


def _checked(backends: Sequence[str] | None) -> list[str]:
    if backends is None:
        found = [name for name in BACKENDS if _is_installed(name)]
        if not found:
            raise BackendError(
                "No inference backend is installed.", hint="Install one: pip install openvino"
            )
        return [*found, TYPED]
    for name in backends:
        if name not in (*BACKENDS, TYPED):
            raise UsageError(
                f"The backend is {name!r}; allowed are {', '.join((*BACKENDS, TYPED))}."
            )
        if name != TYPED and not _is_installed(name):
            raise BackendError(
                f"Backend {name!r} is not installed.",
                hint=f"Install it: pip install '{BACKENDS[name].install}'",
            )
    return list(dict.fromkeys(backends))


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(BACKENDS[name].package) is not None
