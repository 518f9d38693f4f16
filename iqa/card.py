"""The results in a model card: written from an evaluation's JSON, never typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results -->", "<!-- /results -->"
# Best of log-variance of the Laplacian, Tenengrad and BRISQUE on the same files, as their README
# in the evaluation data measured them.
FLOORS = {
    "pcuid": {"srocc": 0.647},
    "sr4kiqa": {"srocc": 0.587, "srocc_within": 0.751},
}


def render(report: Mapping[str, Any]) -> str:
    """Markdown of an evaluation report: rated sets, then synthetic pictures."""
    parts = [f"Measured on `{report['model']}`, {report['backend']}."]
    if "rated" in report:
        parts.append(_rated(report["rated"]))
    if "synthetic" in report:
        parts.append(_synthetic(report["synthetic"]))
    return "\n\n".join(parts)


def _rated(sets: Mapping[str, Mapping[str, float]]) -> str:
    rows = [
        "| rated set | n | SROCC (95 % interval) | PLCC | best classical |",
        "|---|---|---|---|---|",
    ]
    for name, found in sets.items():
        floor = FLOORS.get(name, {})
        interval = f"{found['srocc']:.3f} ({found['srocc_low']:.2f}–{found['srocc_high']:.2f})"
        rows.append(
            f"| {name} | {found['n']} | {interval} | {found['plcc']:.3f} "
            f"| {_cell(floor, 'srocc')} |"
        )
        if "srocc_within" in found:
            rows.append(
                f"| {name}, mean within a scene | {found['n']} | {found['srocc_within']:.3f} | "
                f"| {_cell(floor, 'srocc_within')} |"
            )
    return "\n".join(rows)


def _cell(floor: Mapping[str, float], key: str) -> str:
    return f"{floor[key]:.3f}" if key in floor else ""


def _synthetic(found: Mapping[str, Any]) -> str:
    head = (
        f"Clean pictures never trained on, under 25 distortions × 5 levels (n = {found['n']}): "
        f"SROCC {found['srocc']:.3f} ({found['srocc_low']:.3f}–{found['srocc_high']:.3f}) and PLCC "
        f"{found['plcc']:.3f} against the human mean of each (type, level)."
    )
    rows = ["| distortion | SROCC | mean score, level 1 … 5 |", "|---|---|---|"]
    for name, levels in found["mean_score"].items():
        scores = " ".join(f"{value:.0f}" for value in levels)
        rows.append(f"| {name.replace('_', ' ')} | {found['srocc_by_type'][name]:.2f} | {scores} |")
    return "\n\n".join([head, "\n".join(rows), _steps(found["steps_not_followed"])])


def _steps(steps: list[Mapping[str, Any]]) -> str:
    if not steps:
        return "Every step between levels that humans clearly see (over 0.1 MOS) is followed."
    named = "; ".join(
        f"{s['type'].replace('_', ' ')} {s['levels'][0]}→{s['levels'][1]} "
        f"(humans {s['human']:+.2f} MOS, model {s['model']:+.1f} points)"
        for s in steps
    )
    return (
        f"Steps that humans clearly see (over 0.1 MOS) and the mean score does not follow: {named}."
    )


def update_card(card: Path, report: Mapping[str, Any]) -> None:
    """Replace what stands between the markers of ``card``.

    Raises:
        ValueError: The card lacks the markers.
    """
    text = card.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{card} has no {BEGIN} … {END}; put both where the results belong.")
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    card.write_text(f"{head}{BEGIN}\n\n{render(report)}\n\n{END}{tail}", encoding="utf-8")
