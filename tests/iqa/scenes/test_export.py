"""Weights with and without scenes through the exporter, up to a scorer that names them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from export.build import build_bundle
from export.wish import Wish, grant
from iqa.models.glint_edge import OUTPUTS, GlintEdge
from iqa.scenes.description import renew
from sdk.errors import UsageError
from sdk.scorer import Scorer

LABELS = ("day", "night", "still life")
SHIPPED = Path(__file__).parents[3] / "iqa"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    head = {"scenes.weight": torch.randn(3, 192), "scenes.bias": torch.tensor([0.0, 1.0, -1.0])}
    return GlintEdge().state_dict() | head


def wish(tmp_path: Path, state: dict[str, torch.Tensor], **fields: object) -> Wish:
    save_file(state, tmp_path / "weights.safetensors")
    (tmp_path / "model.json").write_text(json.dumps(fields))
    return Wish(
        name="glint-edge",
        weights=tmp_path / "weights.safetensors",
        description=tmp_path / "model.json",
    )


def test_a_bundle_names_the_scenes_that_the_network_sees(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    asked = wish(tmp_path, state)
    renew(tmp_path / "model.json", LABELS)
    granted = grant(asked)
    assert granted.description.outputs == granted.original.outputs == (*OUTPUTS, "scenes")
    frames = [np.random.default_rng(n).integers(0, 256, (240, 320, 3), np.uint8) for n in (1, 2)]
    path = tmp_path / "m.framescore"
    bundle = build_bundle(granted.original, frames, path, granted.description)
    assert bundle.manifest.scene_labels == LABELS
    with Scorer(bundle, precision="fp32") as scorer:
        for inputs, frame in zip(bundle.golden.frames(), frames, strict=True):
            expected = granted.original.run({n: v.copy() for n, v in inputs.items()})["scenes"][0]
            found = scorer.score(frame).scenes
            assert tuple(found) == LABELS
            np.testing.assert_allclose([*found.values()], expected, atol=1e-4)


def test_labels_that_are_missing_are_asked_for(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    with pytest.raises(UsageError, match="scene_labels and the output 'scenes' must come together"):
        grant(wish(tmp_path, state))


def test_half_a_head_is_named(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    half = {name: value for name, value in state.items() if name != "scenes.weight"}
    with pytest.raises(UsageError, match=r"1 missing: scenes\.weight"):
        grant(wish(tmp_path, half, scene_labels=LABELS))


def test_shipped_weights_have_no_scenes_and_stay_as_they_are() -> None:
    shipped = Wish(
        name="glint-edge",
        weights=SHIPPED / "weights" / "glint_edge.safetensors",
        description=SHIPPED / "recipes" / "glint_edge.bundle.json",
    )
    granted = grant(shipped)
    assert granted.description.outputs == granted.original.outputs == OUTPUTS
    assert granted.description.scene_labels == ()
