"""The tables of `framescore evaluate`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from iqa.set_report import SetReport

if TYPE_CHECKING:
    from rich.table import Table

SHOWN: Final = {
    "KRCC": "krcc",
    "PLCC": "plcc",
    "PLCC4": "plcc_fit4",
    "PLCC5": "plcc_fit5",
    "RMSE4": "rmse_fit4",
}


def report_page(about: Mapping[str, Any], reports: Sequence[SetReport]) -> list[Table | str]:
    """One row a set; what the columns mean below."""
    from sdk.sinks.table import make_table

    several = about["repeats"] > 1
    spread = "low–high" if several else "95 %"
    headers = ("set", "n", "SROCC", spread, *SHOWN)
    table = make_table(*headers, right=headers[1:])
    for report in reports:
        found = report.figures
        table.add_row(
            report.rated.name,
            str(report.pictures),
            _number(found["srocc"]),
            _spread(report),
            *(_number(found[name]) for name in SHOWN.values()),
        )
    return [table, *_notes(about, reports)]


def _notes(about: Mapping[str, Any], reports: Sequence[SetReport]) -> list[str]:
    notes = [
        f"{report.rated.name}: mean SROCC within one content {report.within:.3f}"
        for report in reports
        if not math.isnan(report.within)
    ]
    if about["split"] != "all":
        of = f"{about['repeats']} random splits, medians" if about["repeats"] > 1 else "one split"
        notes.append(f"{about['split']} part of {of}, seed {about['seed']}")
    notes.append("PLCC4, PLCC5, RMSE4: after a logistic fit of 4 or 5 parameters; PLCC is raw")
    notes.append(f"{about['model']} · {about['backend']} {about['precision']}")
    return notes


def _spread(report: SetReport) -> str:
    if len(report.splits) > 1:
        low, high = report.range_of("srocc")
        return "" if low is None or high is None else f"{low:.3f}–{high:.3f}"
    pair = report.splits[0].intervals.get("srocc")
    return "" if pair is None else f"{pair[0]:.3f}–{pair[1]:.3f}"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"
