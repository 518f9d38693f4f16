"""Which of a bundle's graphs a builder is given."""

from __future__ import annotations

from typing import Final

from export.engine.api import Features
from sdk.bundle import Bundle
from sdk.errors import BundleError, UsageError
from sdk.manifest import OnnxGraph

PRECISIONS: Final = ("fp32", "fp16", "bf16", "int8")
_FORMS: Final = {"int8": ("int8+fp16", "int8")}  # the rest in FP16 is what TensorRT is fast in


def choose_graph(
    bundle: Bundle, precision: str, batch: tuple[int, int, int], features: Features
) -> OnnxGraph:
    """Choose the form of a network for an engine.

    Native attention where the parser reads it; a free batch only where more than one is asked for,
    because a fixed one gives the faster engine.

    Args:
        bundle: The model.
        precision: One of `PRECISIONS`.
        batch: Smallest, usual and largest number of frames.
        features: What the builder offers.

    Raises:
        UsageError: There is no such precision, or no graph with a free batch.
        BundleError: The bundle lacks the precision.
    """
    if precision not in PRECISIONS:
        raise UsageError(
            f"There is no precision {precision!r}.", hint=f"There are {', '.join(PRECISIONS)}."
        )
    forms = _FORMS.get(precision, (precision,))
    graphs = [graph for form in forms for graph in bundle.graphs() if graph.precision == form]
    if not graphs:
        raise _lacking(bundle, precision)
    readable = [g for g in graphs if g.profile == "compat" or features.native_attention]
    if not readable:
        raise BundleError(
            f"{bundle.path} has {precision} only with native attention, which this TensorRT does "
            "not read (10.14 and later do).",
            hint="Write the bundle again with the profile compat too.",
        )
    return min(readable, key=lambda graph: _rank(graph, forms, batch))


def _rank(
    graph: OnnxGraph, forms: tuple[str, ...], batch: tuple[int, int, int]
) -> tuple[bool, int, bool]:
    unsuitable = graph.dynamic_batch == (batch == (1, 1, 1))
    return unsuitable, forms.index(graph.precision), graph.profile != "native-attention"


def _lacking(bundle: Bundle, precision: str) -> BundleError:
    has = ", ".join(dict.fromkeys(graph.precision for graph in bundle.graphs()))
    return BundleError(
        f"{bundle.path} has no {precision} network; it has {has}. An engine's precision is that of "
        "its graph.",
        hint=f"Write the bundle again: framescore export … --precision {precision}",
    )
