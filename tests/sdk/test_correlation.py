from __future__ import annotations

import math

import numpy as np
import pytest

from sdk.correlation import linear_correlation, rank_correlation

RISING = np.array([10.0, 20.0, 40.0, 80.0])


@pytest.mark.parametrize("values", [6, 50, 1000])  # few: many ties
def test_rank_correlation_is_scipys(values: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    rng = np.random.default_rng(values)
    one = rng.integers(0, values, 300).astype(float)
    other = one + rng.integers(-values, values, 300)
    expected = stats.spearmanr(one, other).statistic
    assert rank_correlation(one, other) == pytest.approx(expected, abs=1e-12)


def test_rank_correlation_where_it_is_undefined() -> None:
    flat = np.full(4, 3.0)
    assert rank_correlation(flat, flat + 1) == 1.0
    assert rank_correlation(flat, RISING) == 0.0
    assert math.isnan(rank_correlation(RISING, np.array([1.0, 2.0, np.nan, 3.0])))


def test_linear_correlation() -> None:
    assert linear_correlation(RISING, 3 * RISING + 1) == 1.0
    assert linear_correlation(RISING, -RISING) == -1.0
    expected = np.corrcoef(RISING, RISING**2)[0, 1]
    assert linear_correlation(RISING, RISING**2) == pytest.approx(expected)
