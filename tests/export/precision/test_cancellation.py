from __future__ import annotations

import numpy as np
import onnx
import pytest

from export.activations import measure_ranges
from export.mixed_precision import emulate, to_low_precision
from export.precision.cancellation import keep_by_cancellation, keep_by_deviation
from export.precision.formats import BF16, FP16
from export.precision.rewrite import write_typed
from export.precision.typed_graph import TypedGraph
from export.reference import run_scores
from tests.export.precision.graphs import frames, read_graph

SHAPE = (1, 3, 8, 8)
NORMALISED = """
    a = Cast <to = 1> (x)
    t = Conv (a, w, b)
    moved = Transpose <perm = [0, 2, 3, 1]> (t)
    norm = LayerNormalization <axis = -1> (moved, ones)
    back = Transpose <perm = [0, 3, 1, 2]> (norm)
    last = Conv (back, w2)
    peak = ReduceMax <keepdims = 0> (last, sides)
    score = Reshape (peak, one)
"""


def normalised(offset: float) -> onnx.ModelProto:
    """A layer norm of features about `offset` that differ by about 0.3."""
    random = np.random.default_rng(0)
    return read_graph(
        NORMALISED,
        x="1,3,8,8",
        w=random.uniform(-1e-3, 1e-3, (16, 3, 1, 1)),
        b=np.full(16, float(offset)),
        ones=np.ones(16, np.float32),
        w2=random.uniform(-1, 1, (1, 16, 1, 1)),
        sides=np.array([1, 2, 3], np.int64),
        one=np.array([1], np.int64),
    )


def test_a_norm_of_large_numbers_that_hardly_differ_reads_them_unrounded() -> None:
    model, shown = normalised(300), frames(2, SHAPE)
    kept = keep_by_deviation(TypedGraph(model, FP16), model, shown)
    assert set(kept) == {"t", "moved", "norm"}
    assert kept["t"].startswith("fp16 loses ")
    assert kept["t"].endswith(" of what norm normalises")
    reference = run_scores(model.SerializeToString(), shown)
    naive = write_typed(TypedGraph(model, FP16), ())
    ruined = np.abs(run_scores(emulate(naive).SerializeToString(), shown) - reference).max()
    low = to_low_precision(model, shown).model
    saved = np.abs(run_scores(emulate(low).SerializeToString(), shown) - reference).max()
    assert saved < 0.03 < 0.3 < ruined  # of a score of 6


def test_an_ordinary_norm_stays_short() -> None:
    model, shown = normalised(0.1), frames(2, SHAPE)
    assert keep_by_deviation(TypedGraph(model, FP16), model, shown) == {}
    assert "norm" not in to_low_precision(model, shown).kept


def test_bf16_loses_eight_times_more() -> None:
    model, shown = normalised(5), frames(2, SHAPE)
    assert keep_by_deviation(TypedGraph(model, FP16), model, shown) == {}
    assert "norm" in keep_by_deviation(TypedGraph(model, BF16), model, shown)


def test_constant_features_lose_nothing() -> None:
    model = normalised(300)
    black = [{"x": np.zeros(SHAPE, np.uint8)}]
    assert keep_by_deviation(TypedGraph(model, FP16), model, black) == {}


def difference(offset: float) -> dict[str, str]:
    model = read_graph(
        """
        a = Cast <to = 1> (x)
        p = Conv (a, w, b)
        q = Conv (a, w2, b)
        d = Sub (p, q)
        score = ReduceMax <keepdims = 0> (d)
        """,
        x="1,3,8,8",
        score="",
        w=np.full((4, 3, 1, 1), 1e-3),
        w2=np.full((4, 3, 1, 1), 2e-3),
        b=np.full(4, float(offset)),
    )
    ranges = measure_ranges(model, frames(2, SHAPE))
    return keep_by_cancellation(TypedGraph(model, FP16), ranges)


def test_a_small_difference_of_large_terms_is_kept_with_its_terms() -> None:
    kept = difference(100)
    assert set(kept) == {"d", "p", "q"}
    assert kept["d"].startswith("terms of 101 cancel to 0.")


@pytest.mark.parametrize("offset", [0.0, 1.0, 10.0])
def test_ordinary_differences_stay_short(offset: float) -> None:
    assert difference(offset) == {}
