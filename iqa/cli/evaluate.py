"""`framescore evaluate`: how well a model's scores agree with people's, on the public data sets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from iqa.cli import evaluate_options as opt
from iqa.cli.outputs import check_outputs
from sdk.cli import options as sdk_opt
from sdk.cli.exits import EXIT_OK, exits_cleanly, say
from sdk.errors import SourceError, UsageError

if TYPE_CHECKING:
    from iqa.datasets.entry import RatedSet
    from iqa.score_cache import ScoreCache
    from iqa.set_report import SetReport
    from sdk.scorer import Scorer

app = typer.Typer(add_completion=False)


@app.command()
@exits_cleanly
def evaluate(
    model: opt.Model,
    set_names: opt.Sets,
    roots: opt.Roots,
    csv: opt.Csv = None,
    split: opt.Part = "all",
    seed: opt.Seed = None,
    repeats: opt.Repeats = 1,
    backend: sdk_opt.Backend = sdk_opt.BackendName.auto,
    precision: sdk_opt.PrecisionChoice = sdk_opt.Precision.fp32,
    threads: sdk_opt.Threads = None,
    json: opt.JsonFile = None,
    scatter: opt.Scatter = None,
    cache: opt.Cache = None,
) -> int:
    """Compare a model's scores with human opinions.

    Rank and linear correlation, raw and after logistic fits, with 95 % intervals. Sets are never
    pooled. A run that was stopped goes on where it was.

    Exit status: 0 judged, 1 a set has no picture that can be read, or something failed, 2 usage.
    """
    _check_before_hours_of_scoring(json, scatter)
    rated = _read_sets(set_names, roots, csv or [])
    chosen = [_choose(one, split, seed, repeats) for one in rated]

    from sdk.scorer import Scorer

    with Scorer(model, backend=backend.value, precision=precision.value, threads=threads) as scorer:
        store = _open_cache(cache, scorer)
        reports = [
            _judge(scorer, one, splits, store, part=split, seed=seed or 0)
            for one, splits in zip(rated, chosen, strict=True)
        ]
        about = {
            "schema": 1,
            "model": scorer.model_id,
            "backend": scorer.backend,
            "precision": scorer.precision,
            "split": split,
            "seed": seed or 0,
            "repeats": repeats,
        }
    _write(about, reports, json, scatter)
    return EXIT_OK


def _check_before_hours_of_scoring(json: Path | None, scatter: Path | None) -> None:
    """Refuse now what would fail at the end."""
    check_outputs(json=json, scatter=scatter)
    if scatter is not None:
        from iqa.scatter import check_matplotlib

        check_matplotlib()
    try:
        import scipy  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "Figures need scipy, which is not installed.", hint="pip install 'framescore[report]'"
        ) from error


def _read_sets(names: Sequence[str], roots: Sequence[Path], csv: Sequence[str]) -> list[RatedSet]:
    """Every set, read before anything is scored: a wrong folder shows at once."""
    from iqa.datasets.columns import Columns
    from iqa.datasets.registry import CSV, read_set

    if len(names) != len(roots):
        raise UsageError(
            f"{len(names)} --set and {len(roots)} --root do not match.",
            hint="Give each --set its --root, in the same order.",
        )
    own = names.count(CSV)
    if csv and len(csv) not in (1, own):
        raise UsageError(f"--csv is given {len(csv)} times for {own} sets called csv.")
    if csv and not own:
        raise UsageError("--csv is of a set csv, and none is given.", hint="Add --set csv.")
    columns = iter([Columns.parse(words) for words in csv] * (own if len(csv) == 1 else 1))
    return [
        read_set(name, root, next(columns, None) if name == CSV else None)
        for name, root in zip(names, roots, strict=True)
    ]


def _choose(rated: RatedSet, part: str, seed: int | None, repeats: int) -> list[list[int]]:
    from iqa.datasets.splits import PARTS, choose

    if part not in PARTS:
        raise UsageError(f"--split {part!r} is not known; parts are {', '.join(PARTS)}.")
    if part == "all" and repeats > 1:
        raise UsageError(
            f"--repeats {repeats} needs parts to repeat.", hint="Add --split test, for example."
        )
    return choose(rated, part, seed, repeats)


def _open_cache(path: Path | None, scorer: Scorer) -> ScoreCache:
    from iqa.score_cache import ScoreCache

    if path is None:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        name = f"{scorer.model_id.replace('/', '_')}.csv"
        path = Path(home).expanduser() / "framescore" / "scores" / name
    return ScoreCache(path)


def _judge(
    scorer: Scorer,
    rated: RatedSet,
    splits: list[list[int]],
    cache: ScoreCache,
    *,
    part: str,
    seed: int,
) -> SetReport:
    from iqa.score_files import score_files
    from iqa.set_report import judge
    from sdk.cli.progress import show_progress, stderr_is_watched

    wanted = sorted({i for rows in splits for i in rows})
    paths = [rated.entries[i].path for i in wanted]
    with show_progress(rated.name, len(paths), visible=stderr_is_watched()) as advance:
        scored = score_files(scorer, paths, cache, advance)
    if scored.known:
        say(f"{rated.name}: {scored.known} of {len(paths)} scores were known ({cache.path}).")
    report = judge(rated, scored.scores, splits, part=part, seed=seed, unreadable=scored.unreadable)
    for remark in report.remarks():
        say(f"warning: {remark}.")
    return report


def _write(
    about: dict[str, Any], reports: list[SetReport], json: Path | None, scatter: Path | None
) -> None:
    from contextlib import closing
    from json import dumps

    from iqa.report_page import report_page
    from sdk.sinks.output import Output
    from sdk.sinks.table import render

    screen = Output()
    screen.write(render(report_page(about, reports), screen.stream))
    if json is not None:
        document = {**about, "sets": [report.to_dict() for report in reports]}
        with closing(Output(json)) as file:
            file.write(dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    if scatter is not None:
        from iqa.scatter import draw_scatter

        draw_scatter(scatter, reports, f"{about['model']}, {about['backend']} {about['precision']}")
    empty = [report.rated.name for report in reports if not report.pictures]
    if empty:
        raise SourceError(f"{', '.join(empty)}: no picture could be read.")
