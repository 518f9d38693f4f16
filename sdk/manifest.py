"""What a bundle says about its model: `manifest.json`, typed.

Fields that this version does not know are ignored, so that a later one may add some; a change of
meaning raises `SCHEMA_VERSION`, and an older framescore then refuses the bundle.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from sdk.errors import BundleError

SCHEMA_VERSION: Final = 1
MANIFEST_NAME: Final = "manifest.json"
SIGNATURE_NAME: Final = "manifest.sig"  # signs the manifest, so it cannot be listed in it
GRAPH_PRECISIONS: Final = ("fp32", "fp16", "bf16", "int8", "int8+fp16")
PROFILES: Final = ("compat", "native-attention")
TASK: Final = "task"  # the part of the uncertainty that the task itself leaves, whatever the cause

OutputName = Literal["score", "mos", "sigma", "distortions", "uncertainty", "features", "scenes"]
OUTPUTS: Final[tuple[OutputName, ...]] = get_args(OutputName)  # only the first is mandatory
LABELS: Final[Mapping[str, str]] = {  # the field that names the entries of an output
    "distortions": "distortion_labels",
    "uncertainty": "uncertainty_labels",
    "scenes": "scene_labels",
}

_Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class ViewInput(msgspec.Struct, frozen=True, kw_only=True):
    """One input of the network.

    Attributes:
        input: Name of the graph's input.
        spec: The view it takes, as `sdk.views.View.parse` reads it.
    """

    input: _Name
    spec: str


class ScoreScale(msgspec.Struct, frozen=True, kw_only=True):
    """The range scores are clipped to, within 0 to 100."""

    min: float = 0.0
    max: float = 100.0
    higher_is_better: bool = True  # the exporter turns other scales around


class MosScale(msgspec.Struct, frozen=True, kw_only=True):
    """The range of mean opinion scores."""

    min: float = 1.0
    max: float = 5.0


class OnnxGraph(msgspec.Struct, frozen=True, kw_only=True):
    """One form of the network.

    Attributes:
        file: The bundle's member.
        opset: ONNX operator set.
        precision: Types of its arithmetic: "fp32", "fp16", "bf16", "int8" (explicit Q/DQ, the rest
            in FP32, for CPUs) or "int8+fp16" (the same scales, the rest in FP16, for TensorRT).
        profile: "compat" (opset 20 at most, attention in elementary operators) or
            "native-attention" (the `Attention` operator of opset 23).
        dynamic_batch: The first dimension of inputs and outputs is free.
    """

    file: str
    opset: int
    precision: str = "fp32"
    profile: str = "compat"
    dynamic_batch: bool = False


class GoldenFile(msgspec.Struct, frozen=True, kw_only=True):
    """The frames with known scores."""

    file: str


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Something the model was made from.

    Attributes:
        name: What it is.
        role: "weights" or "data".
        licence: Its licence, as an SPDX identifier where there is one.
        url: Where it comes from.
    """

    name: _Name
    role: str
    licence: str
    url: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of `manifest.json`.

    Attributes:
        id: The model's name, for example "glint-edge".
        version: The model's version.
        views: Inputs of the network: uint8 RGB, [N, H, W, 3] as the view's spec says.
        onnx: The reference network: every other form is measured against it.
        variants: The network in other precisions and profiles.
        golden: Frames and the scores the network gave them in FP32.
        files: sha256 of every other member of the bundle, by name.
        description: One sentence for a list of models.
        outputs: Which of `OUTPUTS` the network has, in any order.
        distortion_labels: One name per entry of the output `distortions`.
        uncertainty_labels: One name per entry of the output `uncertainty`, first "task".
        scene_labels: One name per entry of the output `scenes`.
        abstain_above: Sigma in score points above which the model says that its own score should
            not be trusted; None for never.
        score: Scale of the scores.
        mos: Scale of the mean opinion scores.
        licence: Licence of the model, as an SPDX identifier.
        sources: What weights and data the model was made from.
        certificate: How the bundle was made and checked; free form, for people.
        schema_version: Version of this structure.
    """

    id: _Id
    version: _Name
    views: Annotated[tuple[ViewInput, ...], msgspec.Meta(min_length=1, max_length=8)]
    onnx: OnnxGraph
    golden: GoldenFile
    files: dict[str, _Sha256] = {}
    variants: tuple[OnnxGraph, ...] = ()
    description: str = ""
    outputs: tuple[OutputName, ...] = ("score",)
    distortion_labels: tuple[_Name, ...] = ()
    uncertainty_labels: tuple[_Name, ...] = ()
    scene_labels: tuple[_Name, ...] = ()
    abstain_above: float | None = None
    score: ScoreScale = ScoreScale()
    mos: MosScale = MosScale()
    licence: str = ""
    sources: tuple[Provenance, ...] = ()
    certificate: dict[str, Any] = {}
    schema_version: int = SCHEMA_VERSION

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """Names of the entries, by output; none for an output that the network lacks."""
        return labels_of(self)


class _Header(msgspec.Struct):
    schema_version: int


def parse_manifest(data: bytes, bundle: str) -> Manifest:
    """Decode and check a manifest.

    Args:
        data: The JSON text.
        bundle: How messages call the bundle.

    Raises:
        BundleError: A newer schema, broken JSON, a missing field, or values that contradict.
    """
    version = _decode(data, _Header, bundle).schema_version
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{bundle}: its manifest has schema version {version}; this framescore reads up to "
            f"{SCHEMA_VERSION}.",
            hint="Upgrade framescore: pip install --upgrade framescore",
        )
    manifest: Manifest = _decode(data, Manifest, bundle)
    reason = _contradiction(manifest)
    if reason:
        raise BundleError(f"{bundle}: {MANIFEST_NAME} is invalid: {reason}.", hint=_REPACK)
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as JSON: indented, keys sorted, equal for equal manifests."""
    fields = msgspec.to_builtins(manifest)
    text = json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


_REPACK = "Fetch the bundle again, or have it written by framescore's export."


def _decode(data: bytes, kind: type[Any], bundle: str) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(
            f"{bundle}: {MANIFEST_NAME} cannot be read: {error}.", hint=_REPACK
        ) from error


def _contradiction(manifest: Manifest) -> str:
    """Say what in the manifest cannot be; empty when all is well."""
    inputs = [view.input for view in manifest.views]
    score, mos, files = manifest.score, manifest.mos, manifest.files
    if manifest.schema_version < 1:
        return f"schema_version is {manifest.schema_version}; the first is 1"
    if len(set(inputs)) != len(inputs):
        return f"the inputs of its views are {', '.join(inputs)}; each must differ"
    if "score" in inputs:
        return "a view's input is called 'score', which names the golden scores"
    if "score" not in manifest.outputs or len(set(manifest.outputs)) != len(manifest.outputs):
        return f"outputs are {', '.join(manifest.outputs)}; score must be among them, each once"
    reason = contradiction_of_labels(manifest.outputs, manifest.labels, manifest.abstain_above)
    if reason:
        return reason
    if not 0 <= score.min < score.max <= 100:
        return f"the score runs from {score.min} to {score.max}; allowed is within 0 to 100"
    if not score.higher_is_better:
        return "score.higher_is_better is false; the graph itself must turn its scale around"
    if not mos.min < mos.max:
        return f"the mos runs from {mos.min} to {mos.max}"
    if manifest.golden.file not in files:
        return f"golden.file is {manifest.golden.file!r}, which files does not list"
    own = sorted({MANIFEST_NAME, SIGNATURE_NAME} & set(files))
    if own:
        return f"files lists {own[0]}, which cannot hold its own sha256"
    return _contradiction_of_graphs(manifest)


def labels_of(model: Any) -> dict[str, tuple[str, ...]]:
    """Names of the entries of each output of `LABELS`.

    Args:
        model: A manifest, or what has the same fields.
    """
    return {output: tuple(getattr(model, field)) for output, field in LABELS.items()}


def contradiction_of_labels(
    outputs: Sequence[str],
    labels: Mapping[str, Sequence[str]],
    abstain_above: float | None,
) -> str:
    """Say what in a model's labels and statements on its uncertainty cannot be; empty if nothing.

    Args:
        outputs: `Manifest.outputs`.
        labels: `Manifest.labels`.
        abstain_above: `Manifest.abstain_above`.
    """
    for output, names in labels.items():
        if bool(names) != (output in outputs):
            return f"{LABELS[output]} and the output {output!r} must come together"
        if len(set(names)) != len(names):
            return f"{LABELS[output]} repeat"
    causes = labels["uncertainty"]
    if causes and causes[0] != TASK:
        return f"the first of uncertainty_labels is {causes[0]!r}; it must be {TASK!r}"
    if "sigma" not in outputs and (causes or abstain_above is not None):
        what = "the output 'uncertainty'" if causes else "abstain_above"
        return f"{what} needs the output 'sigma'"
    if abstain_above is not None and not 0 < abstain_above < math.inf:
        return f"abstain_above is {abstain_above:g}; allowed are score points above 0, or null"
    return ""


def _contradiction_of_graphs(manifest: Manifest) -> str:
    seen: set[tuple[str, str]] = set()
    if manifest.onnx.precision not in ("fp32", "fp16", "bf16"):
        return f"onnx.precision is {manifest.onnx.precision!r}; allowed are fp32, fp16, bf16"
    for what, graph in [("onnx", manifest.onnx), *(("variants", x) for x in manifest.variants)]:
        if graph.precision not in GRAPH_PRECISIONS:
            allowed = ", ".join(GRAPH_PRECISIONS)
            return f"{what}.precision is {graph.precision!r}; allowed are {allowed}"
        if graph.profile not in PROFILES:
            return f"{what}.profile is {graph.profile!r}; allowed are {', '.join(PROFILES)}"
        if graph.file not in manifest.files:
            return f"{what}.file is {graph.file!r}, which files does not list"
        if (graph.precision, graph.profile) in seen:
            return f"two graphs are {graph.precision} of profile {graph.profile}"
        seen.add((graph.precision, graph.profile))
    return ""
