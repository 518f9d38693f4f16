from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import stats

from iqa.bootstrap import intervals, resamples
from iqa.metrics import (
    FIGURES,
    agreement,
    krcc,
    measure,
    median_of,
    plcc,
    rmse,
    srocc,
    within_contents,
)  # fmt: skip


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    opinions = rng.uniform(0, 9, 80)
    return opinions * 10 + rng.normal(0, 12, 80), opinions


def test_hand_computed_values() -> None:
    """Σd² = 2 and one pair of ten out of order: 1 - 6·2/(5·24) = 0.9, (9 - 1)/10 = 0.8."""
    p, o = [1, 2, 3, 5, 4], [1, 2, 3, 4, 5]
    assert srocc(p, o) == pytest.approx(0.9)
    assert krcc(p, o) == pytest.approx(0.8)
    assert plcc(p, o) == pytest.approx(0.9)
    assert rmse(p, o) == pytest.approx(math.sqrt(2 / 5))


def test_ties_are_corrected_for() -> None:
    """One tie among the predictions of three: τ-b = 2 / √(2 · 3); average ranks 1.5, 1.5, 3."""
    assert krcc([1, 1, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(6))
    assert srocc([1, 1, 2], [1, 2, 3]) == pytest.approx(math.sqrt(3) / 2)


def test_order_alone_decides_rank_correlation(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    p, o = pairs
    for transformed in (np.exp(p / 20), 3 * p - 7, -1 / (p + 100)):
        assert srocc(transformed, o) == pytest.approx(srocc(p, o))
        assert krcc(transformed, o) == pytest.approx(krcc(p, o))
        assert srocc(-transformed, o) == pytest.approx(-srocc(p, o))
    assert plcc(np.exp(p / 20), o) != pytest.approx(plcc(p, o), abs=0.01)


def test_all_figures_agree_with_scipy(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    p, o = pairs
    found = measure(p, o)
    assert tuple(found.values) == FIGURES
    assert found.values["srocc"] == pytest.approx(stats.spearmanr(p, o).statistic)
    assert found.values["krcc"] == pytest.approx(stats.kendalltau(p, o, variant="b").statistic)
    assert found.values["plcc"] == pytest.approx(stats.pearsonr(p, o).statistic)
    assert found.values["rmse"] == pytest.approx(math.sqrt(np.mean((p - o) ** 2)))
    assert found.values["rmse_fit5"] <= found.values["rmse_fit4"] * 1.01 < found.values["rmse"]
    for name in FIGURES:
        low, high = found.intervals[name]
        assert low < found.values[name] < high
    assert found.remarks == ()


def test_scores_on_the_wrong_end_stay_negative(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    """The fit turns round, and would hide that a model prefers bad pictures; ranks do not."""
    p, o = pairs
    found = measure(-p, o, bootstrap=False).values
    assert found["srocc"] < -0.8
    assert found["plcc"] < -0.8
    assert found["plcc_fit4"] > 0.8


def test_what_is_not_finite_is_left_out_and_said(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    p, o = (side.copy() for side in pairs)
    whole = measure(p[3:], o[3:], bootstrap=False)
    p[0], p[1], o[2] = np.nan, np.inf, np.nan
    found = measure(p, o, bootstrap=False)
    assert found.n == 77
    assert dict(found.values) == pytest.approx(dict(whole.values))
    assert found.remarks == (
        "2 of 80 predictions are not finite and were left out",
        "1 of 80 opinions are not finite and were left out",
    )


@pytest.mark.parametrize("constant", [50.0, 0.0, 0.1])
def test_constants_have_no_correlation_and_it_is_said(constant: float) -> None:
    found = measure([constant] * 10, range(10))
    assert all(math.isnan(found.values[name]) for name in FIGURES if "cc" in name)
    assert found.values["rmse"] > 0
    assert found.intervals == {}
    assert "all predictions are equal: correlations are not defined" in found.remarks
    assert math.isnan(srocc(np.full(5, 0.1) + 1e-17, range(5)))
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert report["srocc"] is None
    assert report["logistic"]["4"]["converged"] is False


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_pictures_have_no_figures(n: int) -> None:
    found = measure(range(n), range(n))
    assert all(math.isnan(value) for value in found.values.values())
    assert found.remarks[-1] == f"{n} pictures are too few for any figure"


def test_few_pictures_have_ranks_but_no_curve() -> None:
    found = measure([1, 2, 3, 4], [1, 3, 2, 4], bootstrap=False)
    assert found.values["srocc"] == pytest.approx(0.8)
    assert found.values["plcc_fit4"] == found.values["plcc_fit5"] == found.values["plcc"]
    assert "too few for 4 parameters: plcc_fit4 and rmse_fit4 are raw" in found.remarks[0]


def test_agreement_has_the_interval_of_whole_contents() -> None:
    """Ten contents of twenty equal pictures are ten opinions, not two hundred."""
    rng = np.random.default_rng(3)
    quality, score = rng.normal(size=10), rng.normal(size=10)
    p, o = np.repeat(score + quality, 20), np.repeat(quality, 20)
    contents = [str(i // 20) for i in range(200)]
    alone, together = agreement(p, o), agreement(p, o, contents=contents)
    assert alone.srocc == together.srocc
    width = lambda found: found.srocc_high - found.srocc_low  # noqa: E731
    assert width(together) > 3 * width(alone)
    assert agreement(p, o, seed=1) != alone
    assert agreement(p, o) == alone


def test_draws_are_pairs_or_whole_contents() -> None:
    contents = [str(i) for i in range(12) for _ in range(i + 1)]
    for rows in resamples(len(contents), 0, contents, count=20):
        drawn = [contents[i] for i in rows]
        assert all(drawn.count(name) % (int(name) + 1) == 0 for name in contents)
    assert all(len(rows) == 6 for rows in resamples(6, 0, list("abcdef"), count=20))
    assert all(len(set(rows)) > 1 for rows in resamples(50, 0, ["one"] * 50, count=5))


def test_few_contents_are_drawn_within_as_well() -> None:
    contents = ["a"] * 20 + ["b"] * 20
    draws = {tuple(sorted(rows)) for rows in resamples(40, 0, contents, count=30)}
    assert len(draws) == 30  # whole contents alone give three
    assert all(sum(i < 20 for i in rows) in (0, 20, 40) for rows in draws)


def test_the_interval_of_a_mean_covers_as_theory_says() -> None:
    values = np.random.default_rng(5).normal(size=400)
    [(low, high)] = intervals(lambda rows: [float(values[rows].mean())], resamples(400, 0))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_draws_without_a_figure_do_not_count() -> None:
    p, o = np.array([1.0, 1, 1, 2]), np.array([1.0, 2, 3, 4])
    [(low, high)] = intervals(lambda r: [srocc(p[r], o[r])], resamples(4, 0))
    assert -1 <= low < high <= 1
    [pair] = intervals(lambda _: [math.nan], resamples(4, 0, count=5))
    assert all(math.isnan(value) for value in pair)


def test_correlation_within_contents() -> None:
    """A model that knows scenes but not quality inside them is found out."""
    contents = ["a"] * 4 + ["b"] * 4 + ["c"] * 2
    o = [1, 2, 3, 4, 11, 12, 13, 14, 5, 6]
    p = [4, 3, 2, 1, 14, 13, 12, 11, 5, 6]
    assert srocc(p, o) > 0.5
    assert within_contents(p, o, contents) == pytest.approx(-1)
    assert within_contents([*p[:4], *o[4:]], o, contents) == pytest.approx(0)
    assert math.isnan(within_contents([1, 2], [1, 2], ["a", "b"]))
    assert math.isnan(within_contents([1, 1, 1], [1, 2, 3], ["a"] * 3))


def test_the_median_over_splits_hides_no_nan() -> None:
    rng = np.random.default_rng(0)
    splits = [measure(rng.normal(size=9), range(9), bootstrap=False) for _ in range(5)]
    expected = np.median([split.values["srocc"] for split in splits])
    assert median_of(splits)["srocc"] == pytest.approx(expected)
    broken = measure([1] * 9, range(9), bootstrap=False)
    assert math.isnan(median_of([*splits, broken])["srocc"])


def test_intervals_from_few_contents_are_called_rough() -> None:
    contents = ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    noise = np.random.default_rng(0).normal(size=30)
    found = measure(np.arange(30) + 9 * noise, range(30), contents=contents)
    assert found.remarks[-1].startswith("3 contents in all: intervals are rough")
    alone = measure(range(5), [1, 3, 2, 4, 5], contents=list("abcde"))
    assert not any("contents in all" in remark for remark in alone.remarks)
