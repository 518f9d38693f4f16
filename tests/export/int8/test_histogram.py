from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from export.int8.histogram import BINS, Histogram


def histogram(*batches: NDArray[np.float32]) -> Histogram:
    found = Histogram()
    for batch in batches:
        found.add(batch)
    return found


def values(scale: float, count: int = 5000, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (scale * rng.standard_normal(count)).astype(np.float32)


def test_counts_are_numpys() -> None:
    batch = values(1.0)
    found = histogram(batch.reshape(50, 100))
    expected, _ = np.histogram(np.abs(batch), BINS, (0, found.limit))
    np.testing.assert_array_equal(found.counts, expected)
    assert found.absmax == np.abs(batch).max()
    assert found.limit / 2 <= found.absmax < found.limit


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_order_does_not_matter(order: tuple[int, ...]) -> None:
    batches = [values(0.01), values(3.0, seed=1), values(500.0, seed=2)]
    together = histogram(np.concatenate(batches))
    found = histogram(*(batches[i] for i in order))
    np.testing.assert_array_equal(found.counts, together.counts)
    assert (found.limit, found.absmax) == (together.limit, together.absmax)


def test_ranges_far_apart_leave_nothing_out() -> None:
    found = histogram(np.float32([1e-40, 1e-20]), np.float32([1e30]))
    assert found.counts.sum() == 3
    assert found.counts[0] == 2


def test_zeros_and_what_is_not_finite() -> None:
    found = histogram(np.zeros(7, np.float32), np.float32([np.nan, np.inf, -np.inf, -2.0]))
    assert found.counts.sum() == 8
    assert found.absmax == 2.0
    nothing = histogram(np.zeros((0, 3), np.float32))
    assert nothing.counts.sum() == nothing.absmax == 0
