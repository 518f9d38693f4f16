"""Tables for a terminal: frames one by one where they are few, else a clip as one row."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

from sdk.results import FrameScore, Segment, VideoScore
from sdk.sinks.frame_columns import FrameColumns
from sdk.sinks.output import OutputOwner

if TYPE_CHECKING:
    from rich.table import Table

_SHORT: Final = {"harmonic_mean": "harmonic"}  # headers that would take the room of the names
ABSTAINS: Final = "?"  # behind the sigma of a frame
_MANY_METHODS: Final = 5  # from here on, the columns leave no room for the distortion

_NARROWEST: Final = 80  # columns: on less, a terminal wraps lines, where rich would cut off digits

FEW_FRAMES: Final = 12
"""A source with more frames than this, all under one name, is shown pooled."""


class _Part(NamedTuple):
    """One source: its summary and the positions of its frames."""

    video: VideoScore
    positions: range


class TableSink(OutputOwner):
    """Prints tables at the end of the run; nothing appears before.

    Args:
        target: File to write, an open text stream, or None for standard output.
        pool: Pooling methods to show for clips, in this order.
    """

    def __init__(
        self,
        target: str | Path | TextIO | None = None,
        *,
        pool: Sequence[str] = ("mean", "p5", "min"),
    ) -> None:
        super().__init__(target)
        self._pool = tuple(pool)
        self._frames = FrameColumns()
        self._last: FrameScore | None = None

    def append(self, score: FrameScore) -> None:
        """Keep what the tables show of one frame (50 bytes)."""
        self._frames.append(score)
        self._last = score

    def finish(self, videos: Sequence[VideoScore]) -> None:
        """Print the tables."""
        parts = list(self._parts(videos))
        few = [part for part in parts if self._shows_frames(part)]
        clips = [p for p in parts if len(p.positions) > 1 or not p.video.complete]
        page: list[Table | str] = [self._frame_table(few)] if few else []
        if clips:
            page.append(self._clip_table(clips))
        for part in clips:
            if part not in few:
                page += [f"Worst stretches of {part.video.source}", self._worst_table(part)]
        if self._last is not None:
            page.append(_footer(self._last, videos, clips=bool(clips)))
        self._output.write(render(page, self._output.stream))

    def _parts(self, videos: Sequence[VideoScore]) -> Iterator[_Part]:
        start = 0
        for video in videos:
            stop = start + video.frames + video.unscored
            yield _Part(video, range(start, stop))
            start = stop

    def _shows_frames(self, part: _Part) -> bool:
        named = self._frames.names_change(part.positions)
        return named or len(part.positions) <= FEW_FRAMES

    def _frame_table(self, parts: Sequence[_Part]) -> Table:
        table = make_table(
            "frame", "time", "score", "mos", "±", right=("time", "score", "mos", "±")
        )
        table.add_column("distortion")
        for part in parts:
            numbered = not self._frames.names_change(part.positions) and len(part.positions) > 1
            for position in part.positions:
                row = self._frames.row(position)
                table.add_row(
                    f"{row.source} #{row.frame_index}" if numbered else row.source,
                    format_time(row.pts_s),
                    _number(row.score),
                    _number(row.mos, 2),
                    _number(row.sigma) + (ABSTAINS if row.abstain else ""),
                    row.distortion,
                )
        return table

    def _clip_table(self, parts: Sequence[_Part]) -> Table:
        methods = [_SHORT.get(method, method) for method in self._pool]
        table = make_table("source", "frames", *methods, right=("frames", *methods))
        abstains = any(video.abstained for video, _ in parts)
        if abstains:
            table.add_column("abstains", justify="right", no_wrap=True)
        roomy = len(methods) + abstains < _MANY_METHODS
        if roomy:
            table.add_column("mostly", no_wrap=True)
        for video, positions in parts:
            pooled = video.pooled()
            table.add_row(
                video.source + ("" if video.complete else " (incomplete)"),
                str(video.frames),
                *(_number(pooled[method]) for method in self._pool),
                *([_share(video)] if abstains else []),
                *([self._mostly(positions)] if roomy else []),
            )
        return table

    def _worst_table(self, part: _Part) -> Table:
        table = make_table("time", "frames", "mean", "mostly", right=("mean",))
        for segment in part.video.worst:
            span = self._frames.span(part.positions, segment.start_index, segment.end_index)
            table.add_row(
                _time_span(segment),
                f"{segment.start_index}–{segment.end_index}",
                _number(segment.mean),
                self._mostly(span),
            )
        return table

    def _mostly(self, positions: range) -> str:
        """The commonest distortion of some frames, with its share of them."""
        counts = Counter(self._frames.label(position) for position in positions)
        if not counts:
            return ""
        label, count = counts.most_common(1)[0]
        return f"{label} {100 * count / len(positions):.0f}%" if label else ""


def render(page: Sequence[Table | str], stream: TextIO) -> str:
    """Return tables and lines of text as they should stand on a stream.

    Rendered aside, so that whoever writes the text can deal with full disks and closed pipes; the
    stream only tells how wide it is and whether it takes colour.
    """
    from rich.console import Console

    text = io.StringIO()
    console = Console(
        file=text,
        width=max(Console(file=stream).width, _NARROWEST),
        force_terminal=stream.isatty(),
        markup=False,
        highlight=False,
        emoji=False,
    )
    for item in page:
        console.print(item, soft_wrap=isinstance(item, str))
    trimmed = "\n".join(line.rstrip() for line in text.getvalue().split("\n"))
    return re.sub(r"\n{3,}", "\n\n", trimmed)


def format_time(seconds: float | None) -> str:
    """Return `m:ss.s`, or `h:mm:ss.s` from an hour on; empty where the time is unknown."""
    if seconds is None or math.isnan(seconds):
        return ""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{minutes:02d}" if hours else f"{minutes}"
    return f"{f'{hours}:' if hours else ''}{clock}:{rest // 10:02d}.{rest % 10}"


def _time_span(segment: Segment) -> str:
    if segment.start_s is None or segment.end_s is None:
        return ""
    return f"{format_time(segment.start_s)}–{format_time(segment.end_s)}"


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _share(video: VideoScore) -> str:
    return f"{100 * video.abstained / max(video.frames, 1):.0f}%"


def _footer(score: FrameScore, videos: Sequence[VideoScore], *, clips: bool) -> str:
    lines = [f"score 0–100, higher is better · {score.model} · {score.backend} {score.precision}"]
    if clips and score.distortions:
        lines.append("mostly: the likeliest distortion of most frames, and their share")
    abstaining = [video for video in videos if video.abstained]
    if abstaining:
        total = sum(video.abstained for video in abstaining)
        counted = "counted" if abstaining[0].abstained_counted else "not counted"
        of = f"{total} frame{'' if total == 1 else 's'}"
        lines.append(f"{ABSTAINS} abstains: the model distrusts its score ({of}, {counted})")
    return "\n".join(lines)


def make_table(*headers: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table; the columns named by `right` are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in headers:
        # Only names fold; a number cut in two lines would be read wrong.
        folds = header in ("frame", "source")
        table.add_column(
            header,
            justify="right" if header in right else "left",
            overflow="fold",
            no_wrap=not folds,
        )
    return table
