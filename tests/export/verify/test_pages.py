"""What a terminal shows says whose the difference is, and fits."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from export.frame_set import FrameSet
from export.verify import bisect_worst, verify_bundle
from export.verify.bisect import Bisection
from export.verify.layers import LayerError
from export.verify.pages import _shown, bisection_page
from sdk.bundle import Bundle
from sdk.sinks.table import render


@pytest.fixture(scope="module")
def bisection(small_bundle: Bundle, frames: FrameSet) -> Bisection:
    options = {"precisions": ["int8"], "backends": ["onnxruntime"]}
    report = verify_bundle(small_bundle, frames=frames, **options)
    found = bisect_worst(small_bundle, report, frames)
    assert found is not None
    return found


def shown(bisection: Bisection) -> str:
    return render(bisection_page(bisection), io.StringIO())


def test_a_backend_is_told_from_the_graph(bisection: Bisection) -> None:
    score = bisection.finding.score
    same = replace(bisection, frame=replace(bisection.frame, score=score))
    assert "kernels" not in shown(same)
    other = replace(bisection, frame=replace(bisection.frame, score=score + 20))
    assert "int8 on onnxruntime gives" in shown(other)
    assert "20.000 of the difference are its kernels', not the graph's." in shown(other)


@pytest.mark.parametrize(
    ("node", "operator", "expected"),
    [
        ("blocks.0/MatMul", "MatMul", "blocks.0/MatMul"),
        ("stem", "Conv", "stem Conv"),
        (
            "path.to.a.layer.of.a.network/Gemm",
            "Gemm",
            "….to.a.layer.of.a.network/Gemm",
        ),
    ],
)
def test_layers_are_shown_in_few_letters(node: str, operator: str, expected: str) -> None:
    assert _shown(LayerError("t", node, operator, 0, 1, 0, 0)) == expected
    assert len(expected) <= 30
