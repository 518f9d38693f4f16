"""The trade-off of drift against INT8 work, as a table, as CSV and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sdk.errors import FramescoreError, SinkError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from export.drift import Tolerance
    from export.int8.search import Point

_COLUMNS: Final = ("in float", "INT8 share", "mean", "p99", "max", "SROCC drop", "passes")
_FIELDS: Final = ("in_float", "share", "mean_abs", "p99_abs", "max_abs", "srocc_drop", "passed")
_SERIES: Final = (  # field, colour, label
    ("mean_abs", "#1f6f8b", "mean |Δ|"),
    ("p99_abs", "#b3541e", "p99 |Δ|"),
    ("max_abs", "#7a8694", "max |Δ|"),
)


def trade_off_table(curve: Sequence[Point]) -> str:
    """Lay the curve out as text, a line a point, by rising share of INT8 work."""
    rows = [
        (
            str(point.in_float),
            f"{point.share:.1%}",
            *(f"{value:.3f}" for value in (point.mean_abs, point.p99_abs, point.max_abs)),
            f"{point.srocc_drop:.5f}",
            "yes" if point.passed else "no",
        )
        for point in curve
    ]
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *rows, strict=True)]
    return "".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) + "\n"
        for row in (_COLUMNS, *rows)
    )


def trade_off_csv(curve: Sequence[Point]) -> str:
    """Write the curve as CSV with a header, numbers in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FIELDS)
    writer.writerows([getattr(point, field) for field in _FIELDS] for point in curve)
    return text.getvalue()


def require_matplotlib() -> None:
    """Raise a FramescoreError where matplotlib isn't installed, without importing it."""
    if find_spec("matplotlib") is None:
        raise FramescoreError(
            "The picture of the trade-off needs matplotlib.",
            hint="Install it: pip install 'framescore[report]'",
        )


def draw_trade_off(path: Path, curve: Sequence[Point], tolerance: Tolerance) -> None:
    """Draw drift over the share of multiply-adds in INT8, with the limits, as PNG.

    Args:
        path: The file to write.
        curve: As `export.int8.build.Int8Model` has it.
        tolerance: Its limits become lines.

    Raises:
        FramescoreError: matplotlib isn't installed.
        SinkError: The file cannot be written.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    _draw(figure.add_subplot(), curve, tolerance)
    try:
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror or error}.") from error


def _draw(axes: Axes, curve: Sequence[Point], tolerance: Tolerance) -> None:
    shares = [100 * point.share for point in curve]
    for field, colour, label in _SERIES:
        values = [getattr(point, field) for point in curve]
        axes.plot(shares, values, ".", color=colour, label=label)
        limit = getattr(tolerance, field)
        if limit is not None:
            axes.axhline(limit, color=colour, linewidth=0.8, linestyle="--")
    for point in curve:
        if point.passed:
            axes.axvline(100 * point.share, color="#e9edf1", linewidth=4, zorder=0)
    axes.set_xlabel("multiply-adds in INT8, % (shaded: passes; dashed: limits)")
    axes.set_ylabel("drift of the score, points of 100")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
