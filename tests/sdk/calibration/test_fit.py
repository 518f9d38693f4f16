"""From pictures and opinions to calibrated scores, on a real engine."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sdk.backends import BACKENDS
from sdk.calibration import Calibration, calibrate
from sdk.correlation import rank_correlation
from sdk.errors import SourceError, UsageError
from sdk.scorer import Scorer

from ..tiny_model import write_rich_bundle
from .conftest import Numbers, SyntheticSite

SCALE = (1.0, 5.0)
FITTED = slice(0, 30)
HELD_OUT = slice(30, 60)


def scores_of(site: SyntheticSite, scorer: Scorer, chosen: slice = HELD_OUT) -> Numbers:
    pictures = [cv2.imread(str(site.folder / name)) for name in site.names[chosen]]
    return np.array([scorer.score(picture).score for picture in pictures])


@pytest.fixture
def fitted(site: SyntheticSite, rich_bundle: Path) -> Calibration:
    return calibrate(site.table(FITTED), rich_bundle, scale=SCALE)


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_ranks_pictures_that_it_has_not_seen_better(
    site: SyntheticSite, rich_bundle: Path, backend: str
) -> None:
    pytest.importorskip(BACKENDS[backend].package)
    fitted = calibrate(site.table(FITTED), rich_bundle, scale=SCALE, backend=backend)
    assert fitted.method == "ridge"
    truth = site.opinions[HELD_OUT]
    with (
        Scorer(rich_bundle, backend) as plain,
        Scorer(rich_bundle, backend, calibration=fitted) as calibrated,
    ):
        before, after = (scores_of(site, scorer) for scorer in (plain, calibrated))
    assert rank_correlation(after, truth) > rank_correlation(before, truth) + 0.1
    assert np.abs(after - 25 * (truth - 1)).mean() < 3  # points


def test_opinions_without_relation_leave_scores_alone(
    site: SyntheticSite, rich_bundle: Path
) -> None:
    noise = np.random.default_rng(4).uniform(1, 5, 60).tolist()
    fitted = calibrate(site.table(FITTED, noise), rich_bundle, scale=SCALE)
    assert fitted.method == "identity"
    assert "by chance" in fitted.reason
    with Scorer(rich_bundle) as plain, Scorer(rich_bundle, calibration=fitted) as calibrated:
        picture = cv2.imread(str(site.folder / site.names[40]))
        one, other = plain.score(picture), calibrated.score(picture)
    assert (one.score, one.mos, one.sigma) == (other.score, other.mos, other.sigma)


def test_without_features_a_line_is_fitted_and_said(site: SyntheticSite, tiny_bundle: Path) -> None:
    opinions = (2 + 2 * site.brightness).tolist()
    fitted = calibrate(site.table(opinions=opinions), tiny_bundle, scale=SCALE)
    assert fitted.method == "affine"
    assert (fitted.intercept, fitted.slope) == (pytest.approx(25, abs=1), pytest.approx(0.5, 0.02))
    assert fitted.reason.endswith("no ridge: the model has no features")
    assert set(fitted.cross_validation) == {"identity", "affine"}


def test_results_say_that_they_are_calibrated(
    site: SyntheticSite, rich_bundle: Path, fitted: Calibration
) -> None:
    with Scorer(rich_bundle, calibration=fitted) as scorer:
        result = scorer.score(cv2.imread(str(site.folder / site.names[0])))
        assert result.model == scorer.model_id == f"{scorer.bundle.model_id}+{fitted.id}"
        assert result.features is None  # nobody asked for them
        assert result.mos == pytest.approx(1 + result.score / 25)
        assert scorer.verify() < 1e-3  # the model is what it was


def test_sigma_is_the_spread_of_the_site(
    site: SyntheticSite, rich_bundle: Path, fitted: Calibration
) -> None:
    assert fitted.sigma is not None
    assert 0.8 <= fitted.sigma.coverage_90 <= 1
    with Scorer(rich_bundle, calibration=fitted) as scorer:
        result = scorer.score(cv2.imread(str(site.folder / site.names[50])))
        errors = scores_of(site, scorer) - 25 * (site.opinions[HELD_OUT] - 1)
    assert result.sigma is not None
    assert result.sigma == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.5)
    parts = np.array([*result.uncertainty.values()])
    assert np.sqrt((parts**2).sum()) == pytest.approx(result.sigma)


def test_a_model_abstains_by_its_own_sigma(site: SyntheticSite, wary_bundle: Path) -> None:
    fitted = calibrate(site.table(FITTED), wary_bundle, scale=SCALE)
    assert fitted.method != "identity"
    with Scorer(wary_bundle) as plain, Scorer(wary_bundle, calibration=fitted) as calibrated:
        for name in site.names[HELD_OUT]:
            picture = cv2.imread(str(site.folder / name))
            assert plain.score(picture).abstain == calibrated.score(picture).abstain


def test_batches_and_streams_are_calibrated_alike(
    site: SyntheticSite, rich_bundle: Path, fitted: Calibration
) -> None:
    with Scorer(rich_bundle, calibration=fitted, threads=2) as scorer:
        alone = scores_of(site, scorer, slice(None))
        streamed = [x.score for x in scorer.stream(str(site.folder))]
        pictures = [cv2.imread(str(site.folder / name)) for name in site.names] * 2
        together = [x.score for x in scorer.score_batch(pictures)]
    assert streamed == alone.tolist()
    assert together == alone.tolist() * 2


def test_file_keeps_every_digit(fitted: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    fitted.write(path)
    assert Calibration.load(path) == fitted
    assert Calibration.load(path).id == fitted.id
    fields = json.loads(path.read_text())
    assert (fields["schema_version"], fields["site"]["count"]) == (1, 30)
    assert len(fields["site"]["sha256"]) == 64
    assert set(fields["cross_validation"]["ridge"]) == {"srocc", "plcc", "rmse"}


def test_equal_labels_give_equal_files(
    site: SyntheticSite, rich_bundle: Path, fitted: Calibration
) -> None:
    assert calibrate(site.table(FITTED), rich_bundle, scale=SCALE).encode() == fitted.encode()


def test_another_model_is_refused(fitted: Calibration, tmp_path: Path) -> None:
    other = write_rich_bundle(tmp_path / "other.framescore", version="2")
    with pytest.raises(UsageError, match=r"belongs to tiny@\w+ .*, not to tiny@\w+") as caught:
        Scorer(other, calibration=fitted)
    assert f"framescore calibrate labels.csv -m {other}" in caught.value.hint


def broken(fitted: Calibration, **changes: object) -> bytes:
    return json.dumps({**json.loads(fitted.encode()), **changes}).encode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": 2}, "schema version 2; this framescore reads up to 1"),
        ({"slope": None}, "Expected `float`, got `null`"),
        ({"intercept": "NaN"}, "Expected `float`, got `str`"),
        ({"method": "affine"}, "its method is affine, and it has 6 weights"),
        ({"method": "spline"}, "Invalid enum value 'spline'"),
        ({"digest": "x"}, "regex"),
        ({"sigma": {"kind": "scaled", "value": -1.0, "coverage_90": 1.0}}, "sigma.value is -1"),
    ],
)
def test_damaged_files(
    fitted: Calibration, rich_bundle: Path, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    path = tmp_path / "site.json"
    path.write_bytes(broken(fitted, **changes))
    with pytest.raises(UsageError, match=reason) as caught:
        Scorer(rich_bundle, calibration=path)
    assert "framescore" in caught.value.hint


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"1" * 10_000])
def test_what_is_no_calibration(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "site.json"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"site\.json cannot be used"):
        Calibration.load(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Calibration.load(tmp_path / "none.json")


def test_weights_of_another_width_are_refused(
    fitted: Calibration, rich_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "site.json"
    path.write_bytes(broken(fitted, weights=[1.0, 2.0]))
    with (
        Scorer(rich_bundle, calibration=path) as scorer,
        pytest.raises(UsageError, match="weighs 2 features; the network gives 6"),
    ):
        scorer.score(np.zeros((64, 64, 3), np.uint8))


def test_a_damaged_picture_is_named(site: SyntheticSite, rich_bundle: Path) -> None:
    (site.folder / site.names[3]).write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"003\.png cannot be decoded"):
        calibrate(site.table(), rich_bundle, scale=SCALE)


def test_a_scale_that_is_the_wrong_way_round_is_refused(
    site: SyntheticSite, rich_bundle: Path
) -> None:
    with pytest.raises(UsageError, match=r"fall as scores rise: .* by -0\.\d\d over 60") as caught:
        calibrate(site.table(), rich_bundle, scale=(5.0, 1.0))
    assert "--scale 1:5" in caught.value.hint
