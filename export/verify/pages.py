"""A verification, a bisection and latencies as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from export.drift import Drift
from export.verify.bisect import LEAST, Bisection
from export.verify.candidates import Candidate
from export.verify.latency import Latency, in_words
from export.verify.layers import LayerError
from export.verify.report import Outcome, VerifyReport
from export.verify.typed import TYPED
from sdk.sinks.table import make_table

if TYPE_CHECKING:
    from rich.table import Table

_ERRORS = ("own error", "in all", "points")
_WIDTH = 30  # of a layer's name: all columns fit into 80
_NEIGHBOURS = 3  # layers shown before and behind the culprit
_NUMBERS = ("max |Δ|", "p99", "mean", "SROCC", "golden")


def report_page(report: VerifyReport) -> list[Table | str]:
    """Return tables and lines of text, for `sdk.sinks.table.render`.

    Args:
        report: Of a verification.
    """
    return [
        f"{report.model_id}, {report.frames} frames, in points of 100, against\n"
        f"{report.reference}\n",
        _summary(report),
        *([_by_labels(report)] if report.labels else []),
        _groups(report),
        *_remarks(report),
    ]


def bisection_page(bisection: Bisection) -> list[Table | str]:
    """Return what a bisection found: the layers around the culprit, and what it looks like.

    Args:
        bisection: What was found.
    """
    finding, frame = bisection.finding, bisection.frame
    lines = [
        f"\nbisected {bisection.candidate} on {frame.name}: {_number(finding.score)} points as its "
        f"types say,\n{_number(finding.reference)} by {bisection.reference}",
    ]
    if finding.culprit is None:
        return [*lines, finding.words, *_by_the_backend(bisection)]
    points = {suspect.layer.tensor: suspect.points for suspect in finding.suspects}
    table = make_table("", "layer", "range", *_ERRORS, right=["range", *_ERRORS])
    for layer in _around(finding.layers, finding.culprit.layer):
        mark = "→" if layer is finding.culprit.layer else ""
        errors = _share(layer.own), _share(layer.total), _number(points.get(layer.tensor), 2)
        table.add_row(mark, _shown(layer), f"{layer.low:.2g}…{layer.high:.2g}", *errors)
    return [*lines, table, finding.words, *_by_the_backend(bisection)]


def latency_page(latencies: Sequence[Latency]) -> list[Table | str]:
    """Return latencies as a table, and in words what each precision gains.

    Args:
        latencies: Of one model.
    """
    headers = ("median ms", "p90 ms", "× fp32")
    table = make_table("precision", "backend", *headers, right=headers)
    for one in latencies:
        candidate = one.candidate
        times = (_number(one.median_ms, 2), _number(one.p90_ms, 2), _number(one.speedup, 2))
        table.add_row(_name(candidate), candidate.backend, *times)
    return [table, *in_words(latencies)]


def _shown(layer: LayerError) -> str:
    """A layer's name with its operator; of long ones the end, which tells more."""
    known = layer.operator.lower() in layer.node.lower()
    name = layer.node if known else f"{layer.node} {layer.operator}"
    return name if len(name) <= _WIDTH else "…" + name[1 - _WIDTH :]


def _around(layers: Sequence[LayerError], culprit: LayerError) -> Sequence[LayerError]:
    place = layers.index(culprit)
    return layers[max(0, place - _NEIGHBOURS) : place + _NEIGHBOURS + 1]


def _by_the_backend(bisection: Bisection) -> Iterator[str]:
    """Say when a runtime's own kernels make more of the difference than the graph does."""
    finding, frame = bisection.finding, bisection.frame
    by_graph = abs(finding.score - finding.reference)
    by_backend = abs(frame.score - finding.score)
    if bisection.candidate.backend != TYPED and by_backend > max(by_graph, LEAST):
        yield (
            f"{bisection.candidate} gives {_number(frame.score)} points on this frame: "
            f"{by_backend:.3f} of the difference are its kernels', not the graph's."
        )


def _share(error: float) -> str:
    return f"{error:.2%}" if math.isfinite(error) else "∞"


def _summary(report: VerifyReport) -> Table:
    table = make_table("precision", "backend", *_NUMBERS, "", right=_NUMBERS)
    for outcome in report.outcomes:
        name, backend = _name(outcome.candidate), outcome.candidate.backend
        table.add_row(name, backend, *_figures(outcome), outcome.verdict)
    return table


def _figures(outcome: Outcome) -> list[str]:
    drift = outcome.drift
    if drift is None:
        return [""] * len(_NUMBERS)
    shares = [_number(value) for value in (drift.max_abs, drift.p99_abs, drift.mean_abs)]
    return [*shares, _number(drift.rank_correlation, 4), _number(outcome.golden)]


def _by_labels(report: VerifyReport) -> Table:
    """Change of the correlations with the labels."""
    headers = ("ΔSROCC", "ΔPLCC")
    table = make_table(f"{report.labels} labels", "backend", *headers, right=headers)
    for outcome in report.outcomes:
        if outcome.drift is not None:
            changes = (outcome.drift.srocc_change, outcome.drift.plcc_change)
            name, backend = _name(outcome.candidate), outcome.candidate.backend
            table.add_row(name, backend, *(_number(change, 4) for change in changes))
    return table


def _groups(report: VerifyReport) -> Table:
    """Mean |Δ| by degradation and precision, on the backend where it is largest."""
    ran: dict[str, list[Drift]] = {}
    for outcome in report.outcomes:
        if outcome.drift is not None:
            ran.setdefault(_name(outcome.candidate), []).append(outcome.drift)
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
        unused = "" if outcome.needed else "not used unless asked for: "
        for fault in outcome.faults:
            yield f"{outcome.candidate}: {unused}{fault}"
        if outcome.faults and outcome.worst:
            worst = outcome.worst[0]
            yield (
                f"  worst: {worst.name}, {_number(worst.reference)} by the reference, "
                f"{_number(worst.score)} here"
            )
    for precision in report.unverified:
        yield f"{precision}: nothing here can run it, so it is not verified"


def _name(candidate: Candidate) -> str:
    profile = candidate.graph.profile
    return candidate.precision + ("" if profile == "compat" else f" {profile}")


def _number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return ""
    if math.isinf(value):
        return "∞"
    return "NaN" if math.isnan(value) else f"{value:.{digits}f}"
