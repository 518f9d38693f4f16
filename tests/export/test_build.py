from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from export import variants  # noqa: E402
from export.build import Recipe, build_bundle  # noqa: E402
from export.description import Description, read_description  # noqa: E402
from export.drift import TOLERANCES, Tolerance  # noqa: E402
from export.frame_set import FrameSet, collect_frames  # noqa: E402
from export.to_onnx import ViewNetwork  # noqa: E402
from sdk.backends import BACKENDS  # noqa: E402
from sdk.errors import BundleError, FrameError, UsageError  # noqa: E402
from sdk.scorer import Scorer  # noqa: E402
from sdk.views import View  # noqa: E402

from .small_network import DESCRIPTION, LABELS, OUTPUTS, VIEWS, SmallNetwork, build  # noqa: E402

PARSED = {name: View.parse(spec) for name, spec in VIEWS.items()}


def original(network: torch.nn.Module | None = None) -> ViewNetwork:
    return ViewNetwork(network or build(), PARSED, OUTPUTS)


def frames(count: int = 3) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    return [random.integers(0, 80 * (1 + i), (120, 160, 3), np.uint8) for i in range(count)]


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("build") / "small.framescore"
    build_bundle(original(), frames(), path, DESCRIPTION, members={"LICENSE": b"free"})
    return path


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_bundle_scores_like_the_network(bundle_path: Path, backend: str) -> None:
    pytest.importorskip(BACKENDS[backend].package)
    network = build()
    with Scorer(bundle_path, backend=backend, precision="fp32") as scorer:
        assert scorer.verify() < 1e-3
        for frame in frames():
            result = scorer.score(frame)
            views = [
                scorer.bundle.views[name].apply(_frame(frame)) for name in ("fragments", "resize")
            ]
            with torch.no_grad():
                score, mos, sigma, causes = network(*(torch.from_numpy(view) for view in views))
            assert result.score == pytest.approx(float(score), abs=1e-3)
            assert result.mos == pytest.approx(float(mos), abs=1e-4)
            assert result.sigma == pytest.approx(float(sigma), abs=1e-3)
            assert tuple(result.distortions) == LABELS
            assert list(result.distortions.values()) == pytest.approx(causes[0].tolist(), abs=1e-4)


def _frame(array: NDArray[np.uint8]) -> object:
    from sdk.frames import as_frame

    return as_frame(array)


def test_certificate_says_how_it_was_checked(bundle_path: Path) -> None:
    with Scorer(bundle_path) as scorer:
        manifest = scorer.bundle.manifest
    certificate = manifest.certificate
    assert certificate["golden"]["frames"] == 3
    assert 0 <= certificate["golden"]["max_abs_difference_to_original"]["score"] < 1e-3
    assert certificate["graph"]["operators"]["LayerNormalization"] == 1
    parameters = sum(
        value.numel() for value in build().state_dict().values() if value.is_floating_point()
    )
    assert certificate["graph"]["parameters"] == pytest.approx(parameters, rel=0.01)
    assert certificate["tools"]["torch"].startswith("2.")
    assert manifest.onnx.opset == 20
    assert manifest.sources == DESCRIPTION.sources


def test_equal_builds_are_equal_files(bundle_path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.framescore"
    build_bundle(original(), frames(), again, DESCRIPTION, members={"LICENSE": b"free"})
    assert again.read_bytes() == bundle_path.read_bytes()


class Moody(SmallNetwork):
    """Scores differently at each call, which a trace cannot show."""

    calls = 0

    def forward(self, fragments: Tensor, resize: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        self.calls += 1
        score, *rest = super().forward(fragments, resize)
        return (score * 0 + self.calls, *rest)


def test_graph_that_differs_from_the_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"scores the golden frames up to .* points off"):
        build_bundle(original(Moody()), frames(), tmp_path / "m.framescore", DESCRIPTION)
    assert list(tmp_path.iterdir()) == []


def test_golden_frames_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "m.framescore"
    with pytest.raises(BundleError, match="No golden frames for small; a bundle needs 1 to 256"):
        build_bundle(original(), [], path, DESCRIPTION)
    with pytest.raises(FrameError):
        build_bundle(original(), ["photo.png"], path, DESCRIPTION)


@pytest.fixture(scope="module")
def frame_set() -> FrameSet:
    pytest.importorskip("skimage")
    return collect_frames(None, PARSED, 48)


def test_every_precision_is_judged_and_packed(tmp_path: Path, frame_set: FrameSet) -> None:
    path = tmp_path / "small.framescore"
    recipe = Recipe(precisions=("fp16", "int8"))
    bundle = build_bundle(original(), frames(), path, DESCRIPTION, recipe=recipe, frames=frame_set)
    precisions = [graph.precision for graph in bundle.graphs()]
    assert precisions == ["fp32", "fp16", "int8", "int8+fp16"]
    certificate = bundle.manifest.certificate
    assert certificate["frames"] == {"count": 48, "sha256": frame_set.sha256}
    judged = certificate["precisions"]
    assert list(judged) == precisions[1:]
    assert all(one["accepted"] and one["drift"]["frames"] > 5 for one in judged.values())
    assert set(judged["int8"]["on"]) == {"openvino", "onnxruntime"}
    for precision in ("fp16", "int8"):
        with Scorer(bundle, precision=precision) as scorer:
            assert scorer.verify() == pytest.approx(0, abs=2.0)


def test_drift_outside_the_tolerance_is_refused_unless_accepted(
    tmp_path: Path, frame_set: FrameSet
) -> None:
    path = tmp_path / "small.framescore"
    nothing = {**TOLERANCES, "fp16": Tolerance(max_abs=1e-9)}
    recipe = Recipe(precisions=("fp16",), tolerances=nothing)
    judgements: list[Sequence[variants.Variant]] = []
    with pytest.raises(BundleError, match=r"fp16: max \|Δ\| is .* points; allowed is 1e-09") as e:
        build_bundle(
            original(), frames(), path, DESCRIPTION, recipe=recipe, frames=frame_set,
            on_judged=judgements.append,
        )  # fmt: skip
    assert "--accept-drift" in e.value.hint
    [[refused]] = judgements  # told although no bundle is written
    assert refused.refusals
    assert not path.exists()
    accepted = replace(recipe, accept_drift=True)
    bundle = build_bundle(
        original(), frames(), path, DESCRIPTION, recipe=accepted, frames=frame_set
    )
    judged = bundle.manifest.certificate["precisions"]["fp16"]
    assert not judged["accepted"]
    assert "allowed is 1e-09" in judged["outside_tolerance"][0]


def test_int8_is_judged_on_the_runtimes_too(
    tmp_path: Path, frame_set: FrameSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if this processor's kernels saturated."""
    real = variants.create_backend

    class Saturated:
        def __init__(self, *arguments: object) -> None:
            self._backend = real(*arguments)  # type: ignore[arg-type]

        def infer(self, inputs: object) -> dict[str, NDArray[np.float32]]:
            return {"score": self._backend.infer(inputs)["score"] - 5}  # type: ignore[arg-type]

        def close(self) -> None:
            self._backend.close()

    monkeypatch.setattr(variants, "create_backend", Saturated)
    path = tmp_path / "small.framescore"
    recipe = Recipe(precisions=("int8",))
    with pytest.raises(BundleError, match=r"int8: on openvino p99 \|Δ\| is .*; allowed is 2") as e:
        build_bundle(original(), frames(), path, DESCRIPTION, recipe=recipe, frames=frame_set)
    assert "on onnxruntime" in e.value.message
    assert not path.exists()


def test_precisions_need_frames_and_must_be_known(tmp_path: Path) -> None:
    path = tmp_path / "small.framescore"
    with pytest.raises(UsageError, match="fp16 needs frames to measure on"):
        build_bundle(original(), frames(), path, DESCRIPTION, recipe=Recipe(("fp16",)))
    with pytest.raises(UsageError, match="'int4' is unknown; allowed are fp32, fp16, bf16, int8"):
        build_bundle(original(), frames(), path, DESCRIPTION, recipe=Recipe(("int4",)))
    with pytest.raises(UsageError, match="Profile 'fast' is unknown"):
        build_bundle(original(), frames(), path, DESCRIPTION, recipe=Recipe(profile="fast"))


def test_description_is_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    fields = {name: getattr(DESCRIPTION, name) for name in Description.__struct_fields__}
    plain = json.loads(_json(fields))
    path.write_text(json.dumps(plain))
    assert read_description(path) == DESCRIPTION


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "missing required field `id`"),
        ("{", "truncated"),
        ('{"id": "x", "licens": "MIT"}', "unknown field `licens`"),
    ],
)
def test_description_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "small.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_description(path)
    with pytest.raises(UsageError, match="No such file"):
        read_description(tmp_path / "none.json")


def _json(fields: object) -> bytes:
    import msgspec

    return msgspec.json.encode(fields)
