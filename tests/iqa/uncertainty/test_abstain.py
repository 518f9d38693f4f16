from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from iqa.uncertainty.abstain import abstain_above, abstain_report
from iqa.uncertainty.samples import Samples
from tests.iqa.uncertainty.conftest import made_up


@pytest.fixture
def blind() -> tuple[np.ndarray, Samples]:
    """Sigma from 1 to 31; above 21 scores have nothing to do with opinions, below they do."""
    samples = made_up(200, 0)
    rng = np.random.default_rng(2)
    sigma = rng.permutation(np.linspace(1, 31, len(samples)))
    guess = rng.uniform(20, 80, len(samples))
    score = np.where(sigma > 21, guess, samples.opinion + rng.normal(0, 3, len(samples)))
    return sigma, dataclasses.replace(samples, score=score.astype(np.float32))


def test_the_limit_lies_where_scores_stop_telling_anything(
    blind: tuple[np.ndarray, Samples],
) -> None:
    sigma, samples = blind
    limit = abstain_above(sigma, samples)
    assert limit == pytest.approx(21, abs=0.5)
    report = abstain_report(samples, sigma, limit)
    assert report["not_trusted"]["share_of_variance_told"] <= 0
    assert report["trusted"]["share_of_variance_told"] > 0.9
    assert report["not_trusted"]["n"] + report["trusted"]["n"] == int(samples.rated.sum())


def test_where_every_score_tells_something_only_the_unseen_is_doubted() -> None:
    samples = made_up(100, 0)
    good = dataclasses.replace(samples, score=samples.opinion + 1)  # wrong, but in order
    sigma = np.linspace(2, 17.04, len(samples))
    assert abstain_above(sigma, good) == pytest.approx(17.0)
    assert abstain_report(good, sigma, 20.0)["share"] == 0
    assert "not_trusted" not in abstain_report(good, sigma, 20.0)
