"""The network in the precisions that engines are built from, each held to its tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from export.drift import TOLERANCES, Drift, Tolerance, measure_drift, violations
from export.half_weights import store_half
from export.progress import Progress, silent
from export.verify.typed import TypedBackend
from sdk.backends.registry import BACKENDS, create_backend
from sdk.errors import BundleError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from export.frame_set import FrameSet
    from export.reference import Inputs, Outputs
    from sdk.bundle import Bundle

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


@dataclass(frozen=True, slots=True)
class Gate:
    """What precisions are judged on.

    Attributes:
        frames: None of them a calibration frame.
        reference: The original's scores of them [F].
        tolerances: What each precision may drift.
    """

    frames: FrameSet
    reference: NDArray[np.float64]
    tolerances: Mapping[str, Tolerance] = field(default_factory=lambda: TOLERANCES)

    def judge(
        self, precision: str, run: Callable[[Inputs], Outputs]
    ) -> tuple[Drift, tuple[str, ...]]:
        """Measure a way of running the network.

        Returns:
            Its drift, and where that is outside the tolerance, in words.
        """
        scores = [run(inputs)["score"].item() for inputs in self.frames.inputs]
        drift = measure_drift(self.reference, scores, groups=self.frames.groups)
        return drift, tuple(violations(drift, self.tolerances[precision]))


def make_variants(
    model: onnx.ModelProto,
    precisions: Sequence[str],
    calibration: FrameSet,
    gate: Gate,
    *,
    progress: Progress = silent,
) -> list[Variant]:
    """Convert a network and measure each form of it.

    Args:
        model: The canonical FP32 graph.
        precisions: Any of "fp16", "bf16", "int8"; the last gives "int8" and "int8+fp16".
        calibration: Frames that ranges are measured on.
        gate: What drift is measured on.
        progress: Told what is being done.

    Returns:
        The variants, also those outside their tolerance.
    """
    made = _Maker(model, calibration, gate, progress)
    variants: list[Variant] = []
    for precision in precisions:
        variants += made.int8() if precision == "int8" else [made.low(model, precision, precision)]
    return variants


def judge_on_runtimes(variant: Variant, bundle: Bundle, gate: Gate) -> Variant:
    """Measure a variant for CPUs on the runtimes of this one: their kernels round in their own way.

    Args:
        variant: Of the precision "int8".
        bundle: That holds it.
        gate: What drift is measured on.

    Returns:
        The variant with what was found.
    """
    refusals, found = list(variant.refusals), {}
    for name, entry in BACKENDS.items():
        if find_spec(entry.package) is None:
            continue
        backend = create_backend(bundle, name, variant.precision)
        drift, words = gate.judge(variant.precision, backend.infer)
        backend.close()
        found[name] = {key: getattr(drift, key) for key in ("max_abs", "p99_abs", "mean_abs")}
        refusals += [f"on {name} {word}" for word in words]
    return replace(variant, refusals=tuple(refusals), facts={**variant.facts, "on": found})


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
    gate: Gate
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

        tolerance = self.gate.tolerances["int8"]
        found = build_int8(
            self.model,
            self.calibration,
            gate=self.gate.frames,
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
        drift, refusals = self.gate.judge(name, backend.infer)
        return Variant(name, stored, drift, refusals, facts)
