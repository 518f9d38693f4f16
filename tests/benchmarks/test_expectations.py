"""Expectations are judged by the worst figure, and not at all without one."""

from __future__ import annotations

import pytest

from benchmarks.expectations import EXPECTATIONS, Expectation


@pytest.mark.parametrize(
    ("kind", "measured", "kept"), [("at most", 3, False), ("at least", 1, False)]
)
def test_worst_figure_counts(kind: str, measured: float, kept: bool) -> None:
    expectation = Expectation("", 2, kind, ("a.x", "b.x"), "ms")  # type: ignore[arg-type]
    judged = expectation.judge({"a": {"x": 1}, "b": {"x": 3}})
    assert (judged["measured"], judged["kept"]) == (measured, kept)


def test_bound_itself_is_kept() -> None:
    assert Expectation("", 2, "at most", ("a",), "ms").judge({"a": 2})["kept"] is True
    assert Expectation("", 2, "at least", ("a",), "ms").judge({"a": 2})["kept"] is True


def test_missing_figure_is_not_judged() -> None:
    judged = Expectation("", 2, "at most", ("a", "b.c"), "ms").judge({"a": 1, "b": {}})
    assert (judged["measured"], judged["kept"]) == (None, None)


def test_goals_of_the_project_are_among_them() -> None:
    bounds = [expectation.bound for expectation in EXPECTATIONS]
    assert bounds == [1000, 1.15, 15, 25, 150]
