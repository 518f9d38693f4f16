from __future__ import annotations

import numpy as np
import pytest

from iqa import logistic
from iqa.logistic import fit_logistic, five, four


@pytest.mark.parametrize("scale", [(0.0, 1.0), (0.0, 100.0), (900.0, 1850.0), (-3.0, -2.0)])
@pytest.mark.parametrize("falling", [False, True])
def test_a_planted_curve_is_found(scale: tuple[float, float], falling: bool) -> None:
    low, high = scale
    p = np.random.default_rng(0).uniform(low, high, 200)
    b3, b4 = low + 0.4 * (high - low), 0.15 * (high - low)
    planted = (1.2, 4.7, b3, b4) if falling else (4.7, 1.2, b3, b4)
    o = four(p, *planted)
    fit = fit_logistic(p, o, 4)
    assert fit.converged
    assert fit.monotone
    assert fit.parameters == pytest.approx(planted, rel=1e-4)
    assert fit(p) == pytest.approx(o, abs=1e-6)


def test_a_planted_curve_of_five_parameters_is_found() -> None:
    p = np.random.default_rng(0).uniform(0, 100, 300)
    planted = (3.0, 0.12, 45.0, 0.01, 2.0)
    o = five(p, *planted)
    fit = fit_logistic(p, o, 5)
    assert fit.parameters == pytest.approx(planted, rel=1e-3)
    noisy = o + np.random.default_rng(1).normal(0, 0.2, len(o))
    assert np.abs(fit_logistic(p, noisy, 5)(p) - o).mean() < 0.05


def test_curves_at_points_computed_by_hand() -> None:
    at = np.array([30.0])
    assert four(at, 5, 1, 30, 10) == pytest.approx(3)  # the middle of the curve
    assert four(at, 5, 1, 20, -10) == pytest.approx(1 + 4 / (1 + np.exp(-1)))  # |β4|
    assert five(at, 4, 0.1, 30, 0.5, 2) == pytest.approx(17)  # 0 + 15 + 2
    assert five(at, 4, 0.1, 20, 0, 2) == pytest.approx(2 + 4 * (0.5 - 1 / (1 + np.exp(1))))


def test_without_convergence_figures_are_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    p = np.linspace(0, 1, 30)
    monkeypatch.setattr(logistic, "MAX_EVALUATIONS", 2)
    fit = fit_logistic(p, np.exp(5 * p), 4)
    assert not fit.converged
    assert fit.failure == "the 4-parameter fit did not converge"
    assert fit(p) is p


def test_a_curve_that_turns_is_noticed() -> None:
    p = np.linspace(0, 1, 200)
    fit = fit_logistic(p, five(p, 10, 30, 0.5, -8, 0), 5)
    assert fit.converged
    assert not fit.monotone


@pytest.mark.parametrize("kind", [4, 5])
def test_extreme_scales_end_in_a_curve_or_in_words(kind: int) -> None:
    rng = np.random.default_rng(2)
    for p in (rng.normal(size=40) * 1e-9, rng.normal(size=40) * 1e9, rng.integers(0, 2, 40) * 1.0):
        fit = fit_logistic(p, rng.normal(size=40), kind)
        assert np.isfinite(fit(p)).all()
        assert fit.converged == (fit.failure == "")


@pytest.mark.parametrize("kind", [4, 5])
def test_nearly_straight_data_have_a_curve(kind: int) -> None:
    """The usual start runs along a flat valley there and finds no end: others follow it."""
    for seed in (1, 10, 20, 24, 28, 37):
        rng = np.random.default_rng(seed)
        p = rng.uniform(20, 90, 60)
        o = 1 + p / 25 + rng.normal(0, 0.4, 60)
        line = np.polyval(np.polyfit(p, o, 1), p)
        fit = fit_logistic(p, o, kind)
        assert fit.converged
        assert np.mean((fit(p) - o) ** 2) <= np.mean((line - o) ** 2) * 1.01
