"""What `framescore export` says of the bundle that it wrote."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from sdk.cli.exits import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from export.progress import Progress
    from export.summary import Summary
    from export.variants import Variant
    from sdk.bundle import Bundle

MIN_SPREAD: Final = 0.5
"""Points; a model that tells a clean picture from a ruined one spreads its scores more widely."""


def print_summary(bundle: Bundle) -> None:
    """Print what the bundle holds on standard error."""
    from rich.table import Table

    from sdk.sinks.table import render

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for fact, value in _facts(bundle).items():
        table.add_row(fact, value)
    if sys.stderr is not None:
        sys.stderr.write(render([table], sys.stderr))


def doubt_scores(bundle: Bundle) -> None:
    """Say so where the golden scores look as if weights or output range were wrong."""
    scores = bundle.golden.score
    ends = int(((scores <= 0) | (scores >= 100)).sum())
    if 2 * ends > len(scores):
        say(
            f"warning: {ends} of {len(scores)} golden frames score 0 or 100.",
            "Does --output-range say the network's number for the worst and the best picture?",
        )
    elif scores.max() - scores.min() < MIN_SPREAD:
        say(
            f"warning: all golden frames, clean and ruined ones, score {scores.mean():.4g}.",
            "Are the weights trained ones, and the mean and deviation those of the training?",
        )


def _facts(bundle: Bundle) -> dict[str, str]:
    import onnx

    from export.half_weights import restore_half
    from export.summary import summarise

    manifest = bundle.manifest
    summary = summarise(restore_half(onnx.load_model_from_string(bundle.onnx)))
    drift = manifest.certificate["golden"]["max_abs_difference_to_original"]["score"]
    return {
        "model": f"{bundle.model_id}, version {manifest.version}, licence {manifest.licence}",
        "input": ", ".join(view.spec for view in manifest.views),
        "output": ", ".join(manifest.outputs),
        "parameters": _short(summary.parameters, ""),
        "work": f"{_short(summary.macs, 'MAC')} a frame",
        "nodes": _nodes(summary),
        "graphs": ", ".join(
            f"{graph.precision} {graph.profile} (opset {graph.opset}, "
            f"{_short(len(bundle.members[graph.file]), 'B')})"
            for graph in bundle.graphs()
        ),
        "max |Δ| to original": f"{drift:.2g} points over {len(bundle.golden.score)} frames",
        **{name: _verdict(judged) for name, judged in _precisions(bundle).items()},
    }


def _short(number: int, unit: str) -> str:
    """Three digits with a prefix: 5.49 M, 1.72 GMAC."""
    for power, prefix in ((9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}{unit}"
    return f"{number} {unit}".rstrip()


def _nodes(summary: Summary) -> str:
    """The number of nodes, and of the operators that are most or matter most."""
    ordered = sorted(summary.operators.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{count} {name}" for name, count in ordered)
    return f"{sum(summary.operators.values())}: {shown}"


def _precisions(bundle: Bundle) -> Mapping[str, Any]:
    """What the certificate says of each precision but FP32."""
    found: Mapping[str, Any] = bundle.manifest.certificate.get("precisions", {})
    return found


def _verdict(judged: Mapping[str, Any]) -> str:
    """One line: how far the scores drift, and what of the work is in the precision."""
    drift = judged["drift"]
    text = (
        f"max |Δ| {drift['max_abs']:.2g}, p99 {drift['p99_abs']:.2g}, mean "
        f"{drift['mean_abs']:.2g} points over {drift['frames']} frames"
    )
    if "int8_share_of_multiply_adds" in judged:
        text += f"; {judged['int8_share_of_multiply_adds']:.0%} of the work in INT8"
    if "advice" in judged:
        text += f"; {judged['advice']}"
    refused = "; ".join(judged["outside_tolerance"])
    return f"{text}; OUTSIDE ITS TOLERANCE: {refused}" if refused else text


def say_gain(bundle: Bundle, progress: Progress) -> list[str]:
    """Measure what INT8 gains on this machine's runtimes, in words; nothing without INT8."""
    if "int8" not in _precisions(bundle):
        return []
    from export.verify.candidates import list_candidates
    from export.verify.latency import in_words, measure_latency

    candidates = list_candidates(bundle, precisions=("fp32", "int8"))
    inputs = next(bundle.golden.frames())
    return in_words(measure_latency(bundle, candidates, inputs, progress=progress))


def prepare_report(folder: Path) -> None:
    """Make the folder of a report, and see that its picture can be drawn, before the work.

    Raises:
        SinkError: It cannot be made.
        FramescoreError: matplotlib isn't installed.
    """
    from export.int8.trade_off import require_matplotlib
    from sdk.errors import SinkError

    require_matplotlib()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"{folder} cannot be made: {error.strerror or error}.") from error


def write_report(folder: Path, variants: Sequence[Variant]) -> None:
    """Show the trade-off of INT8, drift against share of the work: as a table, CSV and PNG.

    Raises:
        SinkError: A file cannot be written.
    """
    from export.drift import TOLERANCES
    from export.int8.search import Point
    from export.int8.trade_off import draw_trade_off, trade_off_csv, trade_off_table
    from sdk.errors import SinkError

    facts = next(variant.facts for variant in variants if variant.precision == "int8")
    curve = [Point(**point) for point in facts["trade_off"]]
    try:
        (folder / "int8.csv").write_text(trade_off_csv(curve))
    except OSError as error:
        raise SinkError(f"{folder} cannot be written: {error.strerror or error}.") from error
    draw_trade_off(folder / "int8.png", curve, TOLERANCES["int8"])
    if sys.stderr is not None:
        sys.stderr.write(f"\n{trade_off_table(curve)}\n")
    say(f"the trade-off of INT8 is in {folder / 'int8.png'} and int8.csv.")
