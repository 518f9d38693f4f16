from __future__ import annotations

import numpy as np
import pytest

from export.int8.histogram import Histogram
from export.int8.ranges import entropy, minmax, percentile


def histogram(values: object) -> Histogram:
    found = Histogram()
    found.add(np.asarray(values, np.float32))
    return found


@pytest.fixture(scope="module")
def with_outlier() -> Histogram:
    values = np.random.default_rng(0).standard_normal(200_000)
    values[:3] = (-80.0, 95.0, 100.0)
    return histogram(values)


def test_an_outlier_rules_minmax_and_no_other(with_outlier: Histogram) -> None:
    assert minmax(with_outlier) == 100
    assert 3.5 < percentile(with_outlier) < 4.5  # 99.99 % of a normal distribution: 3.89
    assert 3.0 < entropy(with_outlier) < 12.0
    assert entropy(with_outlier) != percentile(with_outlier)


def test_percentiles_are_numpys() -> None:
    values = np.random.default_rng(1).exponential(1.0, 100_000)
    found = histogram(values)
    for share in (50, 90, 99, 99.9, 100):
        expected = np.percentile(values, share)
        assert percentile(found, share) == pytest.approx(expected, rel=0.01, abs=found.limit / 4096)


def test_even_distributions_lose_nothing() -> None:
    values = np.linspace(-3, 3, 100_001)
    found = histogram(values)
    for calibrator in (entropy, percentile, minmax):
        assert calibrator(found) == pytest.approx(3.0, rel=0.01)


def test_zeros_of_relu_do_not_draw_the_threshold_down() -> None:
    normal = np.abs(np.random.default_rng(2).standard_normal(100_000))
    alone = entropy(histogram(normal))
    assert entropy(histogram([*normal, *np.zeros(400_000)])) == pytest.approx(alone, rel=0.05)


def test_nothing_but_zeros() -> None:
    found = histogram(np.zeros(10))
    assert entropy(found) == percentile(found) == minmax(found) == 0
