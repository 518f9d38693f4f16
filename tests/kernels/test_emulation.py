"""The emulation notices what a GPU would not forgive."""

from __future__ import annotations

import numpy as np
import pytest

from .emulated import EMULATION, LAUNCH_FAILED, OK, Call, Library, Workshop

KEPT, NO_BARRIER, NO_WAIT, BARRIER_IN_BRANCH, APART, OUTSIDE, ODD, BEYOND, BANKS = range(9)


@pytest.fixture(scope="module")
def rules(workshop: Workshop) -> Library:
    return workshop.library("rules", [EMULATION / "rules_driver.cpp"])


def reverse(rules: Library, rule: int, seed: int = 0) -> tuple[Call, np.ndarray]:
    values = np.arange(64, dtype=np.float32)
    out = np.full(64, -1, np.float32)
    call = rules.call("emulate_rules", values, out, rule, reads=[values], writes=[out], seed=seed)
    return call, out


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_kernel_that_keeps_the_rules(rules: Library, seed: int) -> None:
    call, out = reverse(rules, KEPT, seed)
    assert (call.status, call.report.races, call.report.conflicts) == (OK, 0, 0)
    assert (out == np.arange(64)[::-1]).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_missing_barrier_is_a_race(rules: Library, seed: int) -> None:
    assert "no barrier between" in reverse(rules, NO_BARRIER, seed)[0].message


def test_a_copy_that_nobody_waits_for_is_nan(rules: Library) -> None:
    call, out = reverse(rules, NO_WAIT)
    assert "before its copy was waited for" in call.message
    assert np.isnan(out).all()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (BARRIER_IN_BRANCH, "deadlock"),
        (APART, "different warp-wide operation"),
        (OUTSIDE, "shared access of 4 bytes out of bounds"),
        (ODD, "is not a multiple of 4"),
        (BEYOND, "global write of 4 bytes out of bounds"),
    ],
)
def test_broken_rules_stop_the_launch(rules: Library, rule: int, message: str) -> None:
    call, _ = reverse(rules, rule)
    assert call.status == LAUNCH_FAILED
    assert message in call.message


def test_bank_conflicts_are_counted(rules: Library) -> None:
    assert reverse(rules, BANKS)[0].report.access_conflicts == 2 * 31
