from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sdk.errors import BackendError
from sdk.manifest import Manifest, MosScale, ScoreScale
from sdk.postprocess import read_outputs

from .tiny_model import OUTPUTS, UNCERTAINTY, tiny_manifest


def outputs(**changes: list[float]) -> dict[str, NDArray[np.float32]]:
    values = {"score": [60.0], "mos": [3.5], "sigma": [2.0], "distortions": [0.5, 0.25, 0.25]}
    return {name: np.array(v, np.float32) for name, v in {**values, **changes}.items()}


def test_outputs_become_plain_numbers_with_names() -> None:
    quality = read_outputs(outputs(), tiny_manifest(), "frame 0")
    assert quality[:4] == (60.0, 3.5, 2.0, {"dark": 0.5, "bright": 0.25, "none": 0.25})
    assert quality[4:] == ({}, False, None, {})
    assert type(quality.score) is float
    assert type(quality.distortions["dark"]) is float


@pytest.mark.parametrize(("raw", "clipped"), [(-3.0, 10.0), (10.0, 10.0), (55.5, 55.5), (99, 90.0)])
def test_score_is_clipped_to_the_scale(raw: float, clipped: float) -> None:
    manifest = tiny_manifest(score=ScoreScale(min=10, max=90))
    assert read_outputs(outputs(score=[raw]), manifest, "frame 0").score == clipped


@pytest.mark.parametrize(("raw", "clipped"), [(0.2, 1.0), (5.01, 5.0)])
def test_mos_is_clipped_to_its_scale(raw: float, clipped: float) -> None:
    assert read_outputs(outputs(mos=[raw]), tiny_manifest(), "frame 0").mos == clipped


def test_model_with_a_score_only() -> None:
    manifest = tiny_manifest(
        outputs=("score",),
        distortion_labels=(),
        score=ScoreScale(min=20, max=100),
        mos=MosScale(min=1, max=5),
    )
    quality = read_outputs({"score": np.array([40], np.float32)}, manifest, "frame 0")
    assert quality == (40.0, 2.0, None, {}, {}, False, None, {})


def test_sigma_is_not_negative() -> None:
    assert read_outputs(outputs(sigma=[-0.1]), tiny_manifest(), "frame 0").sigma == 0.0


@pytest.mark.parametrize("name", ["score", "mos", "sigma"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_names_output_and_frame(name: str, value: float) -> None:
    with pytest.raises(BackendError, match=f"tiny computed {name} = .* for frame 7 of cam"):
        read_outputs(outputs(**{name: [value]}), tiny_manifest(), "frame 7 of cam")


def test_nan_among_the_distortions() -> None:
    with pytest.raises(BackendError, match="computed distortions"):
        read_outputs(outputs(distortions=[0.5, np.nan, 0.5]), tiny_manifest(), "frame 0")


def rich_manifest(**changes: object) -> Manifest:
    names = (*OUTPUTS, "uncertainty", "features")
    return tiny_manifest(**{"outputs": names, "uncertainty_labels": tuple(UNCERTAINTY), **changes})


def test_uncertainty_gets_its_names_and_features_stay_an_array() -> None:
    values = outputs(uncertainty=[1.5, 2.0], features=[0.25, 0.5])
    quality = read_outputs(values, rich_manifest(), "frame 0")
    assert quality.uncertainty == UNCERTAINTY
    assert type(quality.uncertainty["task"]) is float
    np.testing.assert_array_equal(quality.features, values["features"])


def test_scenes_get_their_names() -> None:
    manifest = tiny_manifest(outputs=(*OUTPUTS, "scenes"), scene_labels=("night", "day"))
    quality = read_outputs(outputs(scenes=[0.25, 0.875]), manifest, "frame 0")
    assert quality.scenes == {"night": 0.25, "day": 0.875}
    assert type(quality.scenes["day"]) is float


def test_features_that_nobody_asked_for_are_none() -> None:
    assert read_outputs(outputs(uncertainty=[1, 2]), rich_manifest(), "frame 0").features is None


@pytest.mark.parametrize(
    ("sigma", "limit", "abstain"),
    [(2.0, 2.0, False), (2.01, 2.0, True), (1.0, 2.0, False), (99.0, None, False)],
)
def test_model_abstains_above_its_threshold(
    sigma: float, limit: float | None, abstain: bool
) -> None:
    manifest = tiny_manifest(abstain_above=limit)
    assert read_outputs(outputs(sigma=[sigma]), manifest, "frame 0").abstain is abstain


def test_nan_among_many_features_is_named_without_the_others() -> None:
    values = outputs(uncertainty=[1, 2], features=[0.5] * 191 + [np.nan])
    with pytest.raises(BackendError, match=r"computed features = .* nan, .*entry 191 of 192") as e:
        read_outputs(values, rich_manifest(), "frame 0")
    assert len(str(e.value)) < 250
