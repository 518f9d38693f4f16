"""A verification as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from export.drift import Drift
from export.verify.report import Outcome, VerifyReport
from sdk.sinks.table import make_table

if TYPE_CHECKING:
    from rich.table import Table

_NUMBERS = ("max |Δ|", "p99", "mean", "SROCC", "ΔSROCC", "ΔPLCC", "golden")


def as_page(report: VerifyReport) -> list[Table | str]:
    """Return tables and lines of text, for `sdk.sinks.table.render`.

    Args:
        report: Of a verification.
    """
    return [
        f"{report.model_id}: points of 100 off {report.reference}, {report.frames} frames\n",
        _summary(report),
        _groups(report),
        *_remarks(report),
        "passed" if report.passed else "failed",
    ]


def _summary(report: VerifyReport) -> Table:
    labelled = report.labels > 0
    numbers = [name for name in _NUMBERS if labelled or not name.endswith(("ΔSROCC", "ΔPLCC"))]
    table = make_table("precision", "backend", *numbers, "", right=numbers)
    for outcome in report.outcomes:
        candidate = outcome.candidate
        table.add_row(
            _precision(outcome), candidate.backend, *_figures(outcome, labelled), outcome.verdict
        )
    return table


def _figures(outcome: Outcome, labelled: bool) -> list[str]:
    drift = outcome.drift
    if drift is None:
        return [""] * (7 if labelled else 5)
    changes = [_number(drift.srocc_change, 4), _number(drift.plcc_change, 4)] if labelled else []
    return [
        _number(drift.max_abs),
        _number(drift.p99_abs),
        _number(drift.mean_abs),
        _number(drift.rank_correlation, 4),
        *changes,
        _number(outcome.golden),
    ]


def _groups(report: VerifyReport) -> Table:
    """Mean |Δ| by degradation and precision, on the backend where it is largest."""
    ran: dict[str, list[Drift]] = {}
    for outcome in report.outcomes:
        if outcome.drift is not None:
            ran.setdefault(_precision(outcome), []).append(outcome.drift)
    table = make_table("mean |Δ| at worst", "frames", *ran, right=["frames", *ran])
    groups = {name: group for drifts in ran.values() for name, group in drifts[0].by_group.items()}
    for name, group in groups.items():
        means = (max((x.by_group[name].mean_abs for x in xs), key=_nan_last) for xs in ran.values())
        table.add_row(name, str(group.frames), *map(_number, means))
    return table


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _remarks(report: VerifyReport) -> Iterator[str]:
    for outcome in report.outcomes:
        if outcome.reason:
            yield f"{outcome.candidate}: not run: {outcome.reason}"
        for fault in outcome.faults:
            yield f"{outcome.candidate}: {fault}"
        if outcome.faults and outcome.worst:
            worst = outcome.worst[0]
            yield (
                f"  worst: {worst.name}, {_number(worst.reference)} by the reference, "
                f"{_number(worst.score)} here"
            )
    for precision in report.unverified:
        yield f"{precision}: nothing here can run it, so it is not verified"


def _precision(outcome: Outcome) -> str:
    profile = outcome.candidate.graph.profile
    return outcome.candidate.precision + ("" if profile == "compat" else f" {profile}")


def _number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}f}" if math.isfinite(value) else "NaN"
