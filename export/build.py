"""From a trained network to a bundle: export, convert, judge, pack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from export.certificate import write_certificate
from export.drift import TOLERANCES, Tolerance
from export.half_weights import store_half
from export.progress import Progress, silent
from export.reference import run_onnx
from export.variants import (
    Gate,
    Variant,
    check_precisions,
    judge_on_runtimes,
    make_variants,
    refuse_drift,
)
from export.write_bundle import npz_bytes, pack_bundle, write_bundle
from sdk.bundle import Bundle
from sdk.errors import BundleError, UsageError
from sdk.frames import as_frame
from sdk.golden import MAX_GOLDEN
from sdk.manifest import PROFILES, GoldenFile, Manifest, OnnxGraph
from sdk.views import View

if TYPE_CHECKING:
    import onnx

    from export.description import Description
    from export.frame_set import FrameSet
    from export.original import Original
    from export.reference import Inputs, Outputs

MAX_DRIFT: Final = 0.05  # points between original and exported graph; float32 noise is far below
MAX_SIGMA_GAP: Final = 0.01  # between sigma and the root of its causes' squares; relative above 1
GATE_SHARE: Final = 0.25  # of the frames: judged on; ranges are measured on the others


@dataclass(frozen=True)
class Recipe:
    """What a bundle shall hold.

    Attributes:
        precisions: Any of `export.variants.PRECISIONS`; fp32 is always there.
        profile: One of `sdk.manifest.PROFILES`.
        dynamic_batch: Leave the batch size of the graphs free.
        accept_drift: Write variants outside their tolerance too; the certificate says so.
        tolerances: What each precision may drift.
    """

    precisions: tuple[str, ...] = ("fp32",)
    profile: str = "compat"
    dynamic_batch: bool = False
    accept_drift: bool = False
    tolerances: Mapping[str, Tolerance] = field(default_factory=lambda: TOLERANCES)


def build_bundle(
    original: Original,
    golden_frames: Iterable[object],
    out: Path,
    description: Description,
    *,
    recipe: Recipe = Recipe(),
    frames: FrameSet | None = None,
    members: Mapping[str, bytes] | None = None,
    private_key: bytes | None = None,
    on_judged: Callable[[Sequence[Variant]], None] | None = None,
    progress: Progress = silent,
) -> Bundle:
    """Export a network in the precisions asked for, judge each, and write one bundle.

    Args:
        original: The network, as `export.to_onnx` or `export.from_onnx` load it.
        golden_frames: 1 to 256 frames, as `sdk.frames.as_frame` takes them: of many contents and
            qualities, because backends and precisions are judged on them.
        out: Where the bundle goes.
        description: What the model is.
        recipe: What the bundle shall hold.
        frames: For precisions other than fp32: frames to calibrate and to judge on. A quarter of
            the contents is kept for judging.
        members: Further files for the bundle by name, such as LICENSE or a model card.
        private_key: An Ed25519 private key in PEM to sign it with.
        on_judged: Given the other precisions as they were judged, before one may be refused.
        progress: Told what is being done.

    Returns:
        The bundle as it was written.

    Raises:
        UsageError: The model cannot be exported, or frames are needed and not given.
        FrameError: A golden frame is none.
        BundleError: A graph's scores differ from the network's by more than is allowed, or the
            parts do not fit.
        SinkError: The bundle cannot be written.
    """
    _check(recipe)
    progress("export", 0, 0)
    graph = original.graph(recipe.profile, dynamic_batch=recipe.dynamic_batch)
    data = store_half(graph).SerializeToString(deterministic=True)
    golden = _gather_all(golden_frames, original.views, description.id)
    progress("compare with the original", 0, 0)
    exported = run_onnx(data, golden)
    _refuse_not_finite(graph, golden, exported, description.id)
    drift = _drift([original.run(frame) for frame in golden], exported)
    _refuse_export(drift, description.id)
    _refuse_sigma(exported, description.id)
    judged = _judge(original, graph, recipe, frames, progress)
    parts = _Parts(graph, data, _golden(golden, exported), len(golden), drift, judged.variants)
    if any(variant.precision == "int8" for variant in judged.variants):
        trial, _ = pack_bundle(out, *_assemble(parts, description, recipe, frames, {}))
        parts = replace(parts, variants=judged.on_runtimes(trial))
    if on_judged is not None:
        on_judged(parts.variants)
    if not recipe.accept_drift:
        refuse_drift(parts.variants, description.id)
    manifest, contents = _assemble(parts, description, recipe, frames, members or {})
    return write_bundle(out, manifest, contents, private_key=private_key)


@dataclass(frozen=True)
class _Parts:
    """What a bundle is put together from.

    Attributes:
        graph: The reference.
        data: The same as it is stored.
        golden: The contents of golden.npz.
        golden_count: How many frames that holds.
        drift: Of the reference from the original over these, by output.
        variants: The other precisions.
    """

    graph: onnx.ModelProto
    data: bytes
    golden: bytes
    golden_count: int
    drift: Mapping[str, float]
    variants: Sequence[Variant]


@dataclass(frozen=True)
class _Judged:
    """Variants, and what they were judged on; no gate without variants."""

    variants: Sequence[Variant] = ()
    gate: Gate | None = None

    def on_runtimes(self, trial: Bundle) -> list[Variant]:
        """Judge those for CPUs on the runtimes of this one as well."""
        gate = self.gate
        return [
            judge_on_runtimes(variant, trial, gate)
            if gate and variant.precision == "int8"
            else variant
            for variant in self.variants
        ]


def _assemble(
    parts: _Parts,
    description: Description,
    recipe: Recipe,
    frames: FrameSet | None,
    members: Mapping[str, bytes],
) -> tuple[Manifest, dict[str, bytes]]:
    """Put together the manifest and the members that it names."""
    certificate = write_certificate(
        parts.graph, parts.golden_count, parts.drift, parts.variants, frames
    )
    manifest = Manifest(
        **{name: getattr(description, name) for name in description.__struct_fields__},
        onnx=_entry("fp32", parts.graph, recipe),
        variants=tuple(_entry(one.precision, one.graph, recipe) for one in parts.variants),
        golden=GoldenFile(file="golden.npz"),
        certificate=certificate,
    )
    graphs = {
        entry.file: variant.graph.SerializeToString(deterministic=True)
        for entry, variant in zip(manifest.variants, parts.variants, strict=True)
    }
    own = {manifest.onnx.file: parts.data, manifest.golden.file: parts.golden}
    return manifest, {**members, **own, **graphs}


def _check(recipe: Recipe) -> None:
    check_precisions(recipe.precisions)
    if recipe.profile not in PROFILES:
        raise UsageError(
            f"Profile {recipe.profile!r} is unknown; allowed are {', '.join(PROFILES)}."
        )


def _judge(
    original: Original,
    graph: onnx.ModelProto,
    recipe: Recipe,
    frames: FrameSet | None,
    progress: Progress,
) -> _Judged:
    precisions = check_precisions(recipe.precisions)
    if not precisions:
        return _Judged()
    if frames is None:
        raise UsageError(
            f"{', '.join(precisions)} needs frames to measure on, and none were given.",
            hint="Gather some: export.frame_set.collect_frames(None, original.views)",
        )
    calibration, held_out = frames.split(GATE_SHARE)
    reference = []
    for number, frame in enumerate(held_out.inputs):
        progress("score with the original", number, len(held_out))
        reference.append(original.run(frame)["score"].item())
    gate = Gate(held_out, np.array(reference), recipe.tolerances)
    return _Judged(make_variants(graph, precisions, calibration, gate, progress=progress), gate)


def _entry(precision: str, graph: onnx.ModelProto, recipe: Recipe) -> OnnxGraph:
    file = "model.onnx" if precision == "fp32" else f"model.{precision.replace('+', '-')}.onnx"
    return OnnxGraph(
        file=file,
        opset=max(e.version for e in graph.opset_import if e.domain in ("", "ai.onnx")),
        precision=precision,
        profile=recipe.profile,
        dynamic_batch=recipe.dynamic_batch,
    )


def _gather_all(frames: Iterable[object], views: Mapping[str, View], name: str) -> list[Inputs]:
    gathered: list[Inputs] = [
        {key: view.apply(picture) for key, view in views.items()}
        for picture in map(as_frame, frames)
    ]
    if not gathered:
        raise BundleError(
            f"No golden frames for {name}; a bundle needs 1 to {MAX_GOLDEN}.",
            hint="Give pictures of many contents and qualities.",
        )
    return gathered


def _golden(frames: Sequence[Inputs], outputs: Sequence[Outputs]) -> bytes:
    """Pack the frames [G, H, W, 3] (or [G, N, H, W, 3]) and scores [G] of golden.npz."""
    stacked = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
    single = {name: x[:, 0] if x.shape[1] == 1 else x for name, x in stacked.items()}
    score = np.array([output["score"][0] for output in outputs], np.float32)
    return npz_bytes({**single, "score": score})


def _drift(expected: Sequence[Outputs], found: Sequence[Outputs]) -> dict[str, float]:
    """Largest difference over the frames for each output."""
    return {
        name: max(
            float(np.abs(one[name] - other[name]).max())
            for one, other in zip(expected, found, strict=True)
        )
        for name in expected[0]
    }


def _refuse_not_finite(
    graph: onnx.ModelProto, frames: Sequence[Inputs], outputs: Sequence[Outputs], name: str
) -> None:
    """Name the layer at which a network that gives NaN or infinity begins to."""
    if all(np.isfinite(value).all() for output in outputs for value in output.values()):
        return
    from export.precision.rounding import find_nonfinite

    found = find_nonfinite(graph, frames)
    where = "" if found is None else f", first {found}"
    raise BundleError(
        f"{name} gives NaN or infinity on golden frames{where}.",
        hint="Keep roots, logarithms and divisors away from zero: clamp them, or add an epsilon. "
        "Are the weights trained ones?",
    )


def _refuse_export(drift: Mapping[str, float], name: str) -> None:
    if not drift["score"] <= MAX_DRIFT:
        raise BundleError(
            f"The exported graph of {name} scores the golden frames up to {drift['score']:.3g} "
            f"points off the original network; allowed are {MAX_DRIFT}.",
            hint="Does the network behave otherwise in training mode, or draw random numbers?",
        )


def _refuse_sigma(outputs: Sequence[Outputs], name: str) -> None:
    """Sigma must be what its causes add up to, else one of the two misleads."""
    for index, found in enumerate(outputs):
        if "uncertainty" not in found:
            return
        whole, parts = found["sigma"].item(), float(np.sqrt((found["uncertainty"] ** 2).sum()))
        if not abs(whole - parts) <= MAX_SIGMA_GAP * max(1.0, whole):
            raise BundleError(
                f"{name} gives golden frame {index} a sigma of {whole:.4g} points and causes that "
                f"add up to {parts:.4g}; sigma must be the root of the sum of their squares.",
                hint="Let the network compute sigma from its uncertainty.",
            )
