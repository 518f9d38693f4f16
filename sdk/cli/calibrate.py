"""`framescore calibrate`: fit a model's scores to the opinions of one site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdk.cli import options as opt
from sdk.cli.exits import EXIT_OK, exits_cleanly, say
from sdk.cli.progress import show_progress, stderr_is_watched

if TYPE_CHECKING:
    from sdk.calibration import Calibration


@exits_cleanly
def calibrate(
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS.csv",
            help="Table with a column of pictures (picture, file, filename, name or image) and one "
            "of opinions (mos, score, label or dmos); a column content says what belongs together.",
            show_default=False,
        ),
    ],
    scale: Annotated[
        str | None,
        typer.Option(
            "--scale",
            metavar="WORST:BEST",
            help="Scale of the opinions, such as 1:5.",
            show_default="from the header, as in mos[1:5]",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root",
            metavar="DIR",
            help="Folder that the table's paths start from.",
            show_default="that of the table",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the calibration goes.")
    ] = Path("calibration.json"),
    model: opt.Model = None,
    backend: opt.Backend = opt.BackendName.auto,
    precision: opt.PrecisionChoice = opt.Precision.auto,
    threads: opt.Threads = None,
) -> int:
    """Fit scores to the opinions of one site, from a few dozen rated pictures.

    Takes the simplest of three maps that predicts labels left out best: identity (scores stay),
    affine (a line), ridge (the model's features as well). Use it: framescore score --calibration.
    """
    from sdk.calibration import calibrate as fit
    from sdk.opinions import parse_scale

    _check(output, labels)
    limits = None if scale is None else parse_scale(scale)
    with show_progress(str(labels), None, visible=stderr_is_watched()) as advance:
        found = fit(
            labels,
            model,
            scale=limits,
            root=root,
            backend=backend.value,
            precision=precision.value,
            threads=threads,
            progress=advance,
        )
    found.write(output)
    _print(found, output)
    return EXIT_OK


def _check(output: Path, labels: Path) -> None:
    """Say now what would fail after the work."""
    from sdk.errors import SinkError, UsageError

    if not output.parent.is_dir():
        raise SinkError(
            f"Cannot open {output}: there is no folder {output.parent}.",
            hint="Choose a path in an existing, writable folder.",
        )
    if output.exists() and labels.exists() and output.samefile(labels):
        raise UsageError(f"--output {output} is the table of labels.", hint="Give another file.")


def _print(found: Calibration, output: Path) -> None:
    from sdk.sinks.output import Output
    from sdk.sinks.table import make_table, render

    table = make_table("map", "SROCC", "PLCC", "RMSE", "", right=("SROCC", "PLCC", "RMSE"))
    for name, one in found.cross_validation.items():
        table.add_row(
            name,
            f"{one['srocc']:.3f}",
            f"{one['plcc']:.3f}",
            f"{one['rmse']:.1f}",
            "chosen" if name == found.method else "",
        )
    site = found.site
    of = "" if site.contents is None else f" of {site.contents} contents"
    lines = [
        f"{site.count} labels{of}, each predicted by maps fitted without it; RMSE in points of 100",
        *found.reason.split("; "),
    ]
    if found.sigma is not None:
        lines.append(
            f"sigma: {_sigma(found)}; ±1.645 sigma hold {100 * found.sigma.coverage_90:.0f} % of "
            "labels left out"
        )
    target = Output()
    target.write(render([table, "\n".join(lines)], target.stream))
    say(f"wrote {output}", f"Use it: framescore score … --calibration {output}")


def _sigma(found: Calibration) -> str:
    assert found.sigma is not None  # the caller looked
    if found.sigma.kind == "constant":
        return f"{found.sigma.value:.1f} points for every frame"
    return f"the model's, times {found.sigma.value:.2f}"
