"""A scorer over the pictures of a set: what the cache knows is not computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from iqa.score_cache import Identity, Key, ScoreCache
from sdk.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Generator

    from sdk.results import FrameScore
    from sdk.scorer import Scorer

Advance = Callable[[float], None]
BLOCK: Final = (
    512  # pictures hashed before they are scored, while the system still holds their bytes
)


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of the pictures.

    Attributes:
        scores: By path.
        unreadable: The pictures that could not be read or decoded, in the set's order.
        known: How many scores came from the cache.
    """

    scores: dict[Path, float]
    unreadable: tuple[Path, ...]
    known: int


def identity_of(scorer: Scorer) -> Identity:
    """What of a scorer decides its scores: not its threads."""
    return Identity(scorer.bundle.digest, scorer.backend, scorer.precision)


def score_files(
    scorer: Scorer, paths: Sequence[Path], cache: ScoreCache, advance: Advance
) -> Scored:
    """Score pictures as `framescore score` does: same decoding, same treatment of damaged ones.

    Args:
        scorer: What scores.
        paths: The pictures.
        cache: What is known, and where more goes.
        advance: Called with each score, known or new.

    Raises:
        SinkError: The cache cannot be written.
        BackendError: The network failed.
    """
    pictures = list(dict.fromkeys(paths))
    scores: dict[Path, float] = {}
    known = 0
    with cache.appending() as appender:
        for start in range(0, len(pictures), BLOCK):
            waiting: dict[Path, Key] = {}
            for path, key in _keys(identity_of(scorer), pictures[start : start + BLOCK]):
                if key not in cache.scores:
                    waiting[path] = key
                    continue
                known += 1
                scores[path] = cache.scores[key]
                advance(scores[path])
            for path, score in _stream(scorer, list(waiting)):
                appender.add(waiting[path], score, path.name)
                scores[path] = score
                advance(score)
    return Scored(scores, tuple(path for path in pictures if path not in scores), known)


def _keys(identity: Identity, paths: Sequence[Path]) -> Iterator[tuple[Path, Key]]:
    for path in paths:
        try:
            yield path, identity.key(path)
        except SourceError as error:
            _warn(error)


def _stream(scorer: Scorer, paths: list[Path]) -> Generator[tuple[Path, float], None, None]:
    """Scores as they come; damaged pictures are skipped with a warning that says why."""
    from sdk.io.images import ImageFiles

    if not paths:
        return
    source = ImageFiles([str(path) for path in paths], "the set")
    stream = cast("Generator[FrameScore, None, None]", scorer.stream(source))
    with closing(source), closing(stream):
        try:
            for score in stream:
                yield paths[score.frame_index], score.score
        except SourceError as error:
            if len(paths) == 1:  # alone, it is not warned of before
                _warn(error)


def _warn(error: SourceError) -> None:
    import logging

    logging.getLogger("framescore").warning("skipped: %s", error.message)
