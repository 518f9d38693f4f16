"""The closed forms, held to what they abbreviate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sdk.calibration.choose import make_folds
from sdk.calibration.regression import PENALTIES, Line, fit_affine, fit_ridge

Numbers = NDArray[np.float64]


def site(noise: float = 1) -> tuple[Numbers, Numbers, Numbers]:
    """Forty labels, eight features of which one counts."""
    random = np.random.default_rng(0)
    features = random.normal(3, 2, (40, 8))
    scores = random.uniform(0, 100, 40)
    opinions = 10 + 0.5 * scores + 5 * features[:, 0] + random.normal(0, noise, 40)
    return scores, features, opinions


def normal_equations(
    scores: Numbers, features: Numbers, opinions: Numbers, penalty: float
) -> tuple[Numbers, Numbers]:
    """Ridge on what is standardised already: coefficients of constant and score, and weights."""
    design = np.column_stack([np.ones_like(scores), scores, features])
    penalties = np.diag([0.0, 0.0, *[penalty] * features.shape[1]])
    found = np.linalg.solve(design.T @ design + penalties, design.T @ opinions)
    return found[:2], found[2:]


def test_affine_is_least_squares() -> None:
    scores, _, opinions = site()
    line = fit_affine(scores, opinions)
    slope, intercept = np.polyfit(scores, opinions, 1)
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept))


def test_affine_never_falls() -> None:
    scores, _, _ = site()
    line = fit_affine(scores, 100 - scores)
    assert (line.slope, line.intercept) == (0.0, pytest.approx(np.mean(100 - scores)))


def test_affine_of_a_model_that_always_says_the_same() -> None:
    line = fit_affine(np.full(5, 50.0), np.arange(5.0))
    assert (line.slope, line.intercept) == (0.0, 2.0)


def test_ridge_solves_the_normal_equations() -> None:
    scores, features, opinions = site()
    line = fit_ridge(scores, features, opinions, make_folds(40, None))
    assert line.penalty is not None
    mean, spread = features.mean(axis=0), features.std(axis=0)
    base, weights = normal_equations(scores, (features - mean) / spread, opinions, line.penalty)
    np.testing.assert_allclose(line.weights, weights / spread, rtol=1e-6)
    assert line.slope == pytest.approx(base[1])
    assert line.intercept == pytest.approx(base[0] - mean @ (weights / spread))


@pytest.mark.parametrize("contents", [None, list("aabbbccddeeffgghhiijj") + ["k"] * 19])
def test_penalty_has_the_least_error_on_labels_left_out(contents: list[str] | None) -> None:
    """Against fits that really leave them out, at fixed standardisation."""
    scores, features, opinions = site(noise=15)
    folds = make_folds(40, contents)
    line = fit_ridge(scores, features, opinions, folds)
    assert line.penalty is not None
    standard = (features - features.mean(axis=0)) / features.std(axis=0)

    def error(penalty: float) -> float:
        total = 0.0
        for fold in folds:
            kept = np.setdiff1d(np.arange(40), fold)
            base, weights = normal_equations(scores[kept], standard[kept], opinions[kept], penalty)
            predicted = base[0] + base[1] * scores[fold] + standard[fold] @ weights
            total += float(((opinions[fold] - predicted) ** 2).sum())
        return total

    step = PENALTIES[1] / PENALTIES[0]
    assert error(line.penalty) <= error(line.penalty * step)
    assert error(line.penalty) <= error(line.penalty / step)


def test_few_labels_without_relation_leave_a_line() -> None:
    """The strongest penalty: features weigh next to nothing, the score as in the affine map."""
    random = np.random.default_rng(5)
    scores = random.uniform(0, 100, 12)
    features = random.normal(size=(12, 192))
    opinions = 20 + 0.6 * scores
    line, affine = (
        fit_ridge(scores, features, opinions, make_folds(12, None)),
        fit_affine(scores, opinions),
    )
    assert line.predict(scores, features) == pytest.approx(affine.predict(scores, None), abs=0.1)


def test_features_that_do_not_vary_weigh_nothing() -> None:
    scores, features, opinions = site()
    features = np.column_stack([features, np.full(40, 7.0), np.zeros(40)])
    line = fit_ridge(scores, features, opinions, make_folds(40, None))
    assert line.weights[-2:].tolist() == [0.0, 0.0]
    assert np.isfinite(line.intercept)


def test_all_features_flat() -> None:
    scores, _, opinions = site()
    line = fit_ridge(scores, np.ones((40, 3)), opinions, make_folds(40, None))
    affine = fit_affine(scores, opinions)
    assert (line.slope, line.intercept) == pytest.approx((affine.slope, affine.intercept))
    assert line.weights.tolist() == [0.0] * 3


def test_a_line_predicts() -> None:
    line = Line(1.0, 0.5, np.array([2.0, -1.0]))
    features = np.array([[1.0, 1.0], [0.0, 3.0]])
    assert line.predict(np.array([10.0, 20.0]), features).tolist() == [7.0, 8.0]
