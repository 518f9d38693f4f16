"""Drift is measured as scipy would, and what is not finite never passes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from export.drift import TOLERANCES, Drift, Tolerance, measure_drift, violations

SCORES = np.array([20.0, 40.0, 60.0, 80.0])


def test_figures_of_known_differences() -> None:
    drift = measure_drift(SCORES, SCORES + np.array([0.0, 0.1, -0.4, 0.1]))
    assert drift.frames == 4
    assert drift.max_abs == pytest.approx(0.4)
    assert drift.mean_abs == pytest.approx(0.15)
    assert drift.p99_abs == pytest.approx(0.1 + 0.97 * 0.3)  # between the last two of four
    assert drift.worst == 2
    assert drift.rank_correlation == 1.0
    assert drift.srocc_change is None


def test_groups_are_told_apart_with_their_bias() -> None:
    groups = ["clean", "noise", "clean", "noise"]
    by_group = measure_drift(
        SCORES, SCORES + np.array([1.0, -2.0, -1.0, -4.0]), groups=groups
    ).by_group
    assert list(by_group) == ["clean", "noise"]
    assert by_group["clean"].bias == 0.0
    assert by_group["clean"].mean_abs == 1.0
    assert (by_group["noise"].frames, by_group["noise"].max_abs) == (2, 4.0)
    assert by_group["noise"].bias == -3.0


def test_rank_correlation_of_one_frame() -> None:
    assert measure_drift([50.0], [50.1]).rank_correlation == 1.0


def test_labels_of_any_scale_and_direction() -> None:
    swapped = SCORES[[1, 0, 2, 3]]
    opinions = np.array([1.0, 2.0, 3.0, 4.0])
    rising = measure_drift(SCORES, swapped, labels=opinions)
    falling = measure_drift(SCORES, swapped, labels=100 - 10 * opinions)
    assert rising.srocc_change == pytest.approx(-0.2)  # two of four exchanged: 1 - 6 * 2 / 60
    assert falling.srocc_change == pytest.approx(-0.2)
    assert rising.plcc_change is not None
    assert rising.plcc_change < 0
    assert rising.srocc_drop == pytest.approx(0.2)


def test_frames_without_label_do_not_count_for_the_labels() -> None:
    swapped = SCORES[[1, 0, 2, 3]]
    labels = [np.nan, 2.0, 3.0, 4.0]
    assert measure_drift(SCORES, swapped, labels=labels).srocc_change == 0.0
    assert measure_drift(SCORES, swapped, labels=[np.nan] * 4).srocc_change is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tolerance", [Tolerance(), Tolerance(max_abs=1e9)])
def test_a_score_that_is_not_finite_violates_always(bad: float, tolerance: Tolerance) -> None:
    scores = SCORES.copy()
    scores[1] = bad
    drift = measure_drift(SCORES, scores)
    assert math.isnan(drift.max_abs)
    assert drift.worst == 1
    assert violations(drift, tolerance) == ["a score is not finite, first that of frame 1"]


def test_infinities_on_both_sides_are_no_agreement() -> None:
    both = np.array([1.0, np.inf])
    assert violations(measure_drift(both, both), TOLERANCES["int8"])


@pytest.mark.parametrize(
    ("precision", "shift", "words"),
    [
        ("fp32", 0.06, ["max |Δ| is 0.06 points; allowed is 0.05"]),
        ("fp16", 0.49, []),
        ("bf16", 0.51, ["max |Δ| is 0.51 points; allowed is 0.5"]),
        ("int8", 0.49, []),
        ("int8+fp16", 0.6, ["mean |Δ| is 0.6 points; allowed is 0.5"]),
        ("int8", 3, ["p99 |Δ| is 3 points; allowed is 2", "mean |Δ| is 3 points; allowed is 0.5"]),
    ],
)
def test_default_tolerances(precision: str, shift: float, words: list[str]) -> None:
    assert violations(measure_drift(SCORES, SCORES + shift), TOLERANCES[precision]) == words


def test_lost_order_violates_by_the_labels_or_the_reference() -> None:
    crossed = SCORES[[0, 1, 3, 2]]  # the order of a pair exchanged
    tolerance = Tolerance(srocc_drop=0.003)
    unlabelled = violations(measure_drift(SCORES, crossed), tolerance)
    labelled = violations(measure_drift(SCORES, crossed, labels=SCORES), tolerance)
    assert unlabelled == [
        "the fall of the rank correlation with the reference is 0.2; allowed is 0.003"
    ]
    assert labelled == ["the fall of the rank correlation with the labels is 0.2; allowed is 0.003"]


@pytest.mark.parametrize(
    ("reference", "scores", "more"),
    [
        ([], [], {}),
        ([1.0], [1.0, 2.0], {}),
        ([1.0], [1.0], {"groups": ["a", "b"]}),
        ([1.0], [1.0], {"labels": [1.0, 2.0]}),
        ([[1.0]], [[1.0]], {}),
    ],
)
def test_lengths_that_differ_are_refused(
    reference: list[float], scores: list[float], more: dict[str, list[str]]
) -> None:
    with pytest.raises(ValueError, match="equally many"):
        measure_drift(reference, scores, **more)


def test_drift_without_groups_equals_itself() -> None:
    assert measure_drift(SCORES, SCORES) == Drift(4, 0.0, 0.0, 0.0, 1.0, 0)
