"""What a bundle says of how it was made and checked."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from export.graph import count_operators, count_parameters
from sdk import __version__

if TYPE_CHECKING:
    import onnx

    from export.frame_set import FrameSet
    from export.variants import Variant

_TOOLS: Final = ("torch", "onnx", "onnxscript", "onnxslim", "onnxruntime", "numpy")


def write_certificate(
    graph: onnx.ModelProto,
    golden: int,
    drift: Mapping[str, float],
    variants: Sequence[Variant],
    frames: FrameSet | None,
) -> dict[str, Any]:
    """Put together a manifest's `certificate`.

    Args:
        graph: The reference.
        golden: Number of golden frames.
        drift: Largest difference to the original over the golden frames, by output.
        variants: The other precisions, as they were judged.
        frames: What they were calibrated and judged on.
    """
    certificate: dict[str, Any] = {
        "graph": {
            "ir_version": graph.ir_version,
            "operators": count_operators(graph),
            "parameters": count_parameters(graph),
        },
        "golden": {
            "frames": golden,
            "reference": "onnxruntime fp32, one thread",
            "max_abs_difference_to_original": dict(drift),
        },
        "tools": {
            "framescore": __version__,
            "python": platform.python_version(),
            **{tool: _version(tool) for tool in _TOOLS},
        },
    }
    if variants and frames is not None:
        certificate["frames"] = {"count": len(frames), "sha256": frames.sha256}
        certificate["precisions"] = {variant.precision: _judgement(variant) for variant in variants}
    return certificate


def _judgement(variant: Variant) -> dict[str, Any]:
    """One precision: its drift from the original, and whether it was within the tolerance."""
    return {
        "accepted": not variant.refusals,
        "outside_tolerance": list(variant.refusals),
        "measured_on": "onnxruntime, one thread, every tensor rounded to its type",
        "drift": asdict(variant.drift),
        **variant.facts,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
