"""Scores against opinions as a picture, with the curve that was fitted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from iqa.logistic import fit_logistic
from iqa.set_report import SetReport
from sdk.errors import SinkError, UsageError

PANEL: Final = (4.8, 4.2)  # inches
COLUMNS: Final = 3
CURVES: Final = {4: ("tab:orange", "-"), 5: ("tab:green", "--")}


def check_matplotlib() -> None:
    """Refuse before hours of scoring, not after.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "A scatter plot needs matplotlib, which is not installed.",
            hint="pip install 'framescore[report]'",
        ) from error


def draw_scatter(path: Path, reports: Sequence[SetReport], model: str) -> None:
    """Write a PNG with one panel a set.

    Args:
        path: The file to write.
        reports: The sets.
        model: Name of the model, for the title.

    Raises:
        SinkError: The file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(reports), COLUMNS)
    rows = -(-len(reports) // columns)
    figure = Figure((PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)  # no window, whatever the machine's configuration says
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axis, report in zip(axes, reports, strict=False):
        _draw_set(axis, report)
    for axis in axes[len(reports) :]:
        axis.set_axis_off()
    figure.suptitle(model, fontsize="medium")
    try:
        figure.savefig(path, format="png", dpi=120, metadata={"Software": "framescore"})
    except OSError as error:
        raise SinkError(
            f"Cannot write {path}: {error.strerror or error}.",
            hint="Choose a path in an existing, writable folder.",
        ) from error


def _draw_set(axis, report: SetReport) -> None:  # type: ignore[no-untyped-def]
    p, o = report.predictions, report.opinions
    axis.plot(p, o, "o", markersize=3, alpha=0.4, markeredgewidth=0, color="tab:blue")
    if len(p):
        grid = np.linspace(p.min(), p.max(), 200)
        for kind, (colour, line) in CURVES.items():
            fit = fit_logistic(p, o, kind)
            if fit.converged:
                label = f"logistic, {kind} parameters"
                axis.plot(grid, fit(grid), line, color=colour, label=label)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize="small", loc="upper left")
    found = report.figures
    axis.set_title(
        f"{report.rated.name}: n {report.pictures}, SROCC {found['srocc']:.3f}, "
        f"PLCC (4) {found['plcc_fit4']:.3f}",
        fontsize="small",
    )
    axis.set_xlabel("score")
    axis.set_ylabel(report.rated.scale)
