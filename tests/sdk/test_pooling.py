from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import UsageError
from sdk.pooling import FRAMES_PER_WINDOW, POOL_METHODS, pool, pool_method, worst_windows

SCORES = st.lists(st.floats(0, 100), min_size=1, max_size=60)
METHODS = sorted(POOL_METHODS)


@given(SCORES)
def test_mean_is_the_arithmetic_mean(scores):
    assert pool(scores, "mean") == pytest.approx(statistics.fmean(scores))


@given(SCORES)
def test_harmonic_mean_is_that_of_scores_shifted_by_one(scores):
    expected = statistics.harmonic_mean([score + 1 for score in scores]) - 1
    assert pool(scores, "harmonic_mean") == pytest.approx(expected, abs=1e-9)


def test_a_score_of_zero_stands_in_the_harmonic_mean():
    assert pool([0.0, 100.0], "harmonic_mean") == pytest.approx(1 / ((1 + 1 / 101) / 2) - 1)


def test_scores_below_zero_count_as_zero_in_the_harmonic_mean():
    assert pool([-1.0, 50.0], "harmonic_mean") == pool([0.0, 50.0], "harmonic_mean")


@given(SCORES)
def test_methods_are_ordered_from_strict_to_lenient(scores):
    pooled = {method: pool(scores, method) for method in METHODS}
    slack = 1e-9
    assert pooled["min"] == min(scores)
    assert pooled["min"] <= pooled["p1"] + slack
    assert pooled["p1"] <= pooled["p5"] + slack
    assert pooled["p5"] <= pooled["p10"] + slack
    assert pooled["min"] <= pooled["harmonic_mean"] + slack
    assert pooled["harmonic_mean"] <= pooled["mean"] + slack


def test_percentiles_lie_between_the_two_nearest_ranks():
    # 11 scores have ranks 0, 10, 20 … percent: the 5th lies half way from the first to the second.
    scores = [10.0 * k for k in range(11)]
    assert pool(scores, "p5") == pytest.approx(5.0)
    assert pool(scores, "p10") == pytest.approx(10.0)
    assert pool(scores, "p1") == pytest.approx(1.0)


@given(SCORES, st.sampled_from(METHODS), st.randoms())
def test_order_does_not_matter(scores, method, random):
    shuffled = scores.copy()
    random.shuffle(shuffled)
    assert pool(shuffled, method) == pytest.approx(pool(scores, method))


@given(SCORES, st.sampled_from(METHODS), st.integers(1, 5))
def test_nan_is_left_out(scores, method, missing):
    assert pool([math.nan] * missing + scores, method) == pool(scores, method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scores", [[], [math.nan, math.nan]])
def test_nothing_to_pool_is_an_error(scores, method):
    with pytest.raises(UsageError, match=f"{len(scores)} scores"):
        pool(scores, method)


def test_any_iterable_will_do():
    values = [1.0, 2.0, 6.0]
    assert pool(iter(values)) == pool(np.array(values, np.float32)) == pool(tuple(values)) == 3.0


def test_method_names_are_forgiving_about_case_and_spaces():
    assert pool_method(" P5 ") == "p5"


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"'p50'.*harmonic_mean"):
        pool([1.0], "p50")


def brute_force_lowest(scores, times, window_s):
    """Mean of the lowest full window, frame by frame."""
    means = []
    for first, start in enumerate(times):
        inside = [k for k, t in enumerate(times) if k >= first and t < start + window_s - 1e-9]
        if start + window_s <= times[-1] + (times[1] - times[0]) + 1e-9:
            means.append(statistics.fmean(scores[k] for k in inside))
    return min(means) if means else statistics.fmean(scores)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=80), st.sampled_from([5, 10, 25, 30]))
def test_the_first_window_is_the_lowest_there_is(scores, fps):
    times = [k / fps for k in range(len(scores))]
    worst = worst_windows(scores, times, count=1, window_s=1.0)[0]
    assert worst.mean == pytest.approx(brute_force_lowest(scores, times, 1.0), abs=1e-6)


@given(
    st.lists(st.one_of(st.floats(0, 100), st.just(math.nan)), max_size=120),
    st.integers(0, 5),
    st.sampled_from([None, 5, 25]),
)
def test_windows_are_disjoint_sorted_and_scored(scores, count, fps):
    times = None if fps is None else [k / fps for k in range(len(scores))]
    windows = worst_windows(scores, times, count=count)
    assert len(windows) <= count
    assert [w.mean for w in windows] == sorted(w.mean for w in windows)
    taken = [k for w in windows for k in range(w.first, w.last + 1)]
    assert len(taken) == len(set(taken))
    for window in windows:
        known = [s for s in scores[window.first : window.last + 1] if not math.isnan(s)]
        assert window.mean == pytest.approx(statistics.fmean(known), abs=1e-6)


def test_a_dip_is_found_where_it_is():
    scores = [80.0] * 50 + [20.0] * 25 + [80.0] * 50
    times = [k / 25 for k in range(len(scores))]
    worst = worst_windows(scores, times, count=3)
    assert worst[0] == (50, 74, 20.0)
    assert [window.mean for window in worst[1:]] == [80.0, 80.0]


def test_a_window_of_one_second_holds_25_frames_of_25_fps_whatever_the_rounding():
    times = [round(k * 0.04, 3) + 7.3 for k in range(200)]
    window = worst_windows([50.0] * 200, times, count=1)[0]
    assert window.last - window.first + 1 == 25


def test_windows_follow_uneven_times():
    # Ten frames in the first second, then one a second: only the burst is long.
    times = [k / 10 for k in range(10)] + [1.0, 2.0, 3.0]
    scores = [10.0] * 10 + [90.0, 5.0, 90.0]
    windows = worst_windows(scores, times, count=2)
    assert windows[0] == (11, 11, 5.0)
    assert windows[1] == (0, 9, 10.0)


@pytest.mark.parametrize(
    "times",
    [None, [math.nan] * 60, [None] * 60, [0.0] * 30 + [math.nan] * 30, list(range(60, 0, -1))],
    ids=["absent", "nan", "none", "partly", "backwards"],
)
def test_without_usable_times_a_window_is_counted_in_frames(times):
    windows = worst_windows([50.0] * 60, times, count=5)
    assert [(w.first, w.last) for w in windows] == [(0, 24), (25, 49)]
    assert FRAMES_PER_WINDOW == 25


def test_a_series_shorter_than_a_window_is_one_window():
    assert worst_windows([1.0, 3.0], [0.0, 0.04]) == [(0, 1, 2.0)]
    assert worst_windows([7.0]) == [(0, 0, 7.0)]
    assert worst_windows([]) == []


def test_frames_without_a_score_have_no_vote():
    scores = [math.nan] * 25 + [40.0, math.nan] + [60.0] * 23
    assert worst_windows(scores, count=1)[0] == (1, 25, 40.0)
    assert worst_windows([math.nan] * 30) == []


@pytest.mark.parametrize(("count", "window_s"), [(-1, 1.0), (1, 0.0), (1, math.nan)])
def test_impossible_windows_are_refused(count, window_s):
    with pytest.raises(UsageError, match="windows"):
        worst_windows([1.0], count=count, window_s=window_s)
