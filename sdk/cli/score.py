"""`framescore score`: the options; the work is in `sdk.cli.run`."""

from __future__ import annotations

from sdk.cli import options as opt
from sdk.cli.exits import exits_cleanly


@exits_cleanly
def score(
    sources: opt.Sources,
    model: opt.Model = None,
    backend: opt.Backend = opt.BackendName.auto,
    precision: opt.PrecisionChoice = opt.Precision.auto,
    threads: opt.Threads = None,
    calibration: opt.CalibrationFile = None,
    every: opt.Every = None,
    fps: opt.Fps = None,
    limit: opt.Limit = None,
    size: opt.Size = None,
    pixel_format: opt.PixelFormatName = None,
    frame_rate: opt.FrameRate = None,
    format: opt.FormatChoice = opt.Format.table,
    output: opt.OutputFile = None,
    fail_under: opt.FailUnder = None,
    pool: opt.Pool = opt.DEFAULT_POOL,
    skip_abstained: opt.SkipAbstained = False,
) -> int:
    """Score images, video files and streams, 0 to 100, higher is better.

    Scores go to standard output, messages to standard error. Frames whose score the model itself
    does not trust (abstains) are marked, and count in pooled numbers unless --skip-abstained.

    Exit status: 0 scored, 1 something failed, 2 usage, 3 below --fail-under.
    """
    opt.check_sampling(every, fps)
    opt.check_fail_under(fail_under)
    output = opt.parse_output(output)
    opt.check_output(output, sources)
    raw_size = None if size is None else opt.parse_size(size)
    methods = opt.parse_pool(pool)

    from sdk.cli.run import ScoreRun, Selection
    from sdk.scorer import Scorer
    from sdk.sinks import open_sink

    selection = Selection(
        every=every or 1,
        fps=fps,
        limit=limit,
        raw_size=raw_size,
        raw_format=pixel_format,
        frame_rate=frame_rate,
    )
    with (
        Scorer(
            model,
            backend=backend.value,
            precision=precision.value,
            threads=threads,
            calibration=calibration,
        ) as scorer,
        open_sink(format.value, output, pool=methods, several=len(sources) > 1) as sink,
    ):
        lines_on_terminal = output is None and format in (opt.Format.jsonl, opt.Format.csv)
        run = ScoreRun(
            scorer,
            sink,
            selection,
            count_abstained=not skip_abstained,
            lines_on_stdout=lines_on_terminal,
        )
        run.score_all(sources)
        return run.exit_code(methods[0], fail_under)
