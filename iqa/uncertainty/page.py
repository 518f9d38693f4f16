"""The figures of a page: written from a report's JSON, never typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iqa.second_stage.files import read_text, write_text
from iqa.uncertainty.stage import OURS
from sdk.errors import UsageError

BEGIN, END = "<!-- uncertainty -->", "<!-- /uncertainty -->"
LEVELS = ("50%", "80%", "90%")


def update_page(page: Path, report: Mapping[str, Any]) -> None:
    """Replace what stands between the markers of ``page``.

    Raises:
        UsageError: The page cannot be read or lacks the markers.
        SinkError: It cannot be written.
    """
    text = read_page(page)
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    write_text(page, f"{head}{BEGIN}\n\n{render(report)}\n\n{END}{tail}")


def read_page(page: Path) -> str:
    """The page's text.

    Raises:
        UsageError: As for :func:`update_page`.
    """
    text = read_text("Page", page)
    if text.find(BEGIN) < 0 or text.find(END) < text.find(BEGIN):
        raise UsageError(
            f"Page {page} has no {BEGIN} … {END}.", hint="Put both where the figures belong."
        )
    return text


def render(report: Mapping[str, Any]) -> str:
    """Markdown of a report."""
    frames, contents = report["frames"], report["contents"]
    return "\n\n".join(
        [
            f"Weights `{report['weights']}`. Fitted on {frames['fit']} frames of "
            f"{contents['fit']} training photographs, temperature {report['temperature']:.2f} "
            f"from {contents['calibrate']} validation photographs, figures from the "
            f"{report['coverage'][OURS]['n']} rated frames of {contents['report']} others; in "
            "brackets 95 % intervals over whole photographs.",
            _ways(report),
            _swapped(report),
            _abstaining(report),
            _attribution(report),
            _parts(report),
        ]
    )


def _ways(report: Mapping[str, Any]) -> str:
    rows = [
        "| sigma | 50 % cover | 80 % cover | 90 % cover | NLL, nats | against one sigma |",
        "|---|---|---|---|---|---|",
    ]
    base = next(iter(report["coverage"]))
    for name, found in report["coverage"].items():
        likelihood = report["likelihood"][name]
        cells = [_percent(found[level]) for level in LEVELS]
        gain = "" if name == base else _signed(likelihood["against_first"])
        rows.append(f"| {name} | {' | '.join(cells)} | {likelihood['value']:.3f} | {gain} |")
    return "\n".join(rows)


def _swapped(report: Mapping[str, Any]) -> str:
    ours, other = report["coverage"][OURS], report["coverage_with_halves_swapped"]
    worst = min(ours["90%"]["contents_from"], other["90%"]["contents_from"])
    cells = ", ".join(f"{level} {_percent(other[level])}" for level in LEVELS)
    return (
        f"With the two halves of the validation photographs swapped: {cells}. The photograph "
        f"covered least has {100 * worst:.0f} % in its 90 % intervals."
    )


def _abstaining(report: Mapping[str, Any]) -> str:
    found = report["abstain"]
    kinds = ((key, found[key]) for key in ("trusted", "not_trusted") if key in found)
    told = "; ".join(
        f"{key.replace('_', ' ')}: {row['n']} frames, RMSE {row['rmse']:.1f} points, "
        f"{100 * row['share_of_variance_told']:.0f} % of the opinions' variance explained"
        for key, row in kinds
    )
    return (
        f"`abstain_above` is {report['abstain_above']} points: {100 * found['share']:.0f} % of "
        f"the distorted frames. {told[0].upper()}{told[1:]}."
    )


def _attribution(report: Mapping[str, Any]) -> str:
    found = report["attribution"]
    groups = list(found["by_group"])
    rows = [
        f"| fault | n | largest cause is the fault's | {' | '.join(groups)} |",
        "|---" * (3 + len(groups)) + "|",
    ]
    rows += [
        f"| {name} | {row['n']} | {_percent(row)} | "
        f"{' | '.join(str(row['named'][g]) for g in groups)} |"
        for name, row in found["by_group"].items()
    ]
    free = report["attribution_without_decoupling"]
    return (
        f"Of {found['n']} frames with one plain fault the largest cause is the fault's in "
        f"{_percent(found['right'])}; without the decoupling losses in {_percent(free)}; the "
        f"network's own posterior over distortions, summed over the groups, in "
        f"{_percent(found['right_by_posterior'])}.\n\n" + "\n".join(rows)
    )


def _parts(report: Mapping[str, Any]) -> str:
    rows = [
        f"| mean points under | {' | '.join(report['labels'])} |",
        "|---" * (1 + len(report["labels"])) + "|",
    ]
    rows += [
        f"| {name} | {' | '.join(f'{value:.1f}' for value in parts)} |"
        for name, parts in report["parts"].items()
    ]
    return "\n".join(rows)


def _percent(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return "–"
    low, high = (100 * value for value in row["interval95"])
    return f"{100 * row['value']:.1f} % ({low:.0f}–{high:.0f})"


def _signed(row: Mapping[str, Any]) -> str:
    low, high = row["interval95"]
    return f"{row['value']:+.3f} ({low:+.2f} to {high:+.2f})"
