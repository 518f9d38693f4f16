"""The network in the precisions that engines are built from, each held to its tolerance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from export.drift import TOLERANCES, Drift, Tolerance, measure_drift, violations
from export.half_weights import store_half
from export.progress import Progress, silent
from export.verify.typed import TypedBackend
from sdk.errors import BundleError, UsageError

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from export.frame_set import FrameSet

PRECISIONS: Final = ("fp32", "fp16", "bf16", "int8")  # what users ask for; int8 gives two graphs
RANGE_FRAMES: Final = 64  # of the calibration frames: extremes of activations settle early


@dataclass(frozen=True, slots=True)
class Variant:
    """One precision of a network, and what was measured of it.

    Attributes:
        precision: As `sdk.manifest.GRAPH_PRECISIONS` names it.
        graph: The typed graph, as it goes into the bundle.
        drift: Of its scores from the original's over the gate frames, in the arithmetic that its
            types say: CPU runtimes skip roundings of fp16, and saturate where they lack VNNI.
        refusals: Where the drift is outside the tolerance, in words; empty if nowhere.
        facts: What the certificate says besides.
    """

    precision: str
    graph: onnx.ModelProto
    drift: Drift
    refusals: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


def make_variants(
    model: onnx.ModelProto,
    precisions: Sequence[str],
    calibration: FrameSet,
    gate: FrameSet,
    reference: NDArray[Any],
    *,
    tolerances: Mapping[str, Tolerance] = TOLERANCES,
    progress: Progress = silent,
) -> list[Variant]:
    """Convert a network and measure each form of it.

    Args:
        model: The canonical FP32 graph.
        precisions: Any of "fp16", "bf16", "int8"; the last gives "int8" and "int8+fp16".
        calibration: Frames that ranges are measured on.
        gate: Other frames, which drift is measured on.
        reference: The original's scores of the gate frames [F].
        tolerances: What each form may drift.
        progress: Told what is being done.

    Returns:
        The variants, also those outside their tolerance.
    """
    made = _Maker(model, calibration, gate, reference, tolerances, progress)
    variants: list[Variant] = []
    for precision in precisions:
        variants += made.int8() if precision == "int8" else [made.low(model, precision, precision)]
    return variants


def check_precisions(precisions: Sequence[str]) -> tuple[str, ...]:
    """Return the precisions to convert to, without fp32, each once.

    Raises:
        UsageError: One is unknown.
    """
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown:
        raise UsageError(
            f"Precision {unknown[0]!r} is unknown; allowed are {', '.join(PRECISIONS)}."
        )
    return tuple(dict.fromkeys(name for name in precisions if name != "fp32"))


def refuse_drift(variants: Sequence[Variant], name: str) -> None:
    """Refuse variants outside their tolerance.

    Raises:
        BundleError: Names each precision, what was measured and what is allowed.
    """
    refused = [f"{x.precision}: {'; '.join(x.refusals)}" for x in variants if x.refusals]
    if refused:
        raise BundleError(
            f"Scores of {name} drift too far. {'. '.join(refused)}.",
            hint="Leave the precision out, calibrate with frames of yours (--frames DIR), or write "
            "the bundle all the same with --accept-drift; its certificate will say so.",
        )


@dataclass(frozen=True)
class _Maker:
    model: onnx.ModelProto
    calibration: FrameSet
    gate: FrameSet
    reference: NDArray[Any]
    tolerances: Mapping[str, Tolerance]
    progress: Progress

    def low(self, model: onnx.ModelProto, precision: str, name: str) -> Variant:
        """Convert what is float in a graph to fp16 or bf16."""
        from export.mixed_precision import to_low_precision

        self.progress(f"convert to {name}", 0, 0)
        frames = self.calibration.inputs[:RANGE_FRAMES]
        low = to_low_precision(model, frames, "bf16" if precision == "bf16" else "fp16")
        facts: dict[str, Any] = {
            "kept_fp32": dict(sorted(low.kept.items())),
            "short_share_of_multiply_adds": low.share_of_work,
        }
        if low.wants_bf16:
            facts["advice"] = f"{low.escaped:.0%} of the multiply-adds leave fp16's range: try bf16"
        return self._measured(name, low.model, facts)

    def int8(self) -> list[Variant]:
        """Quantise once; the rest in FP32 for CPUs and in FP16 for TensorRT."""
        from export.int8.build import build_int8

        tolerance = self.tolerances["int8"]
        found = build_int8(
            self.model,
            self.calibration,
            gate=self.gate,
            tolerance=tolerance,
            progress=self.progress,
        )
        facts = {
            "calibrator": found.calibrator,
            "calibration_sha256": found.calibration_sha256,
            "smoothed": list(found.smoothed),
            "weight_bits": found.weight_bits,
            "int8_share_of_multiply_adds": found.int8_share,
            "left_in_float": dict(sorted(found.left_out.items())),
            "trade_off": [asdict(point) for point in found.curve],
        }
        rest_fp32 = self._measured("int8", found.model, facts)
        rest_fp16 = self.low(found.model, "fp16", "int8+fp16")
        return [rest_fp32, rest_fp16]

    def _measured(self, name: str, graph: onnx.ModelProto, facts: Mapping[str, Any]) -> Variant:
        self.progress(f"score in {name}", 0, 0)
        stored = store_half(graph)
        backend = TypedBackend(stored.SerializeToString(deterministic=True), name)
        scores = [backend.infer(inputs)["score"].item() for inputs in self.gate.inputs]
        drift = measure_drift(self.reference, scores, groups=self.gate.groups)
        refusals = tuple(violations(drift, self.tolerances[name]))
        return Variant(name, stored, drift, refusals, facts)
