"""The scorer: frames in, scores out."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Final, NoReturn, cast

from sdk.bundle import Bundle
from sdk.calibration.file import calibration_for
from sdk.engines import Engines
from sdk.errors import FrameError
from sdk.frames import Frame, as_frame
from sdk.ordered_map import ordered_map
from sdk.pipeline import Reading, finish, prepare
from sdk.precision import golden_drift

if TYPE_CHECKING:
    from types import TracebackType

    from sdk.calibration import Calibration
    from sdk.io import Source
    from sdk.results import FrameScore

WIDE_FROM: Final = 64  # frames; compiling a second time takes about as long as 20 of them


class Scorer:
    """Scores frames with one model on one backend.

    Thread-safe: any thread may call any method at any time. A frame's score depends on nothing
    but its pixels: it is the same to the last bit alone, in any batch, at any position, in any
    thread. Not fork-safe once created, because the runtimes hold threads: create a scorer in each
    process, or start processes with "spawn". Not picklable for the same reason.

    Args:
        model: Path of a bundle, name of a packaged model, a loaded `Bundle`, or None for the
            default model.
        backend: "openvino", "onnxruntime", or "auto" for the first that is installed.
        precision: "fp32", "bf16", "fp16" or "int8" (the last two where the bundle has their
            graph), or "auto": fp32, or bf16 where this CPU has it and the scores stay within 0.5
            of FP32's on the model's golden frames.
        threads: CPU threads to use, 1 to 1024; None for all that this process may use.
        features: Give each result the network's pooled feature, where the model has that output;
            scores are the same without.
        calibration: What `framescore calibrate` wrote, or a loaded `Calibration`: scores are
            mapped to one site's opinions.

    Attributes:
        bundle: The verified model.
        model_id: Its identity in results, `id@digest`, or `id@digest+calibration`.
        backend: Name of the backend in use.
        precision: Arithmetic in use.
        device: Name of the device in use.

    Raises:
        BundleError: The model is missing, damaged or tampered with.
        BackendError: The backend is not installed, or cannot run the model in that precision.
        UsageError: An unknown backend or precision, threads outside 1 to 1024, or a calibration
            that cannot be read or belongs to another model.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Bundle | None = None,
        backend: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        *,
        features: bool = False,
        calibration: str | os.PathLike[str] | Calibration | None = None,
    ) -> None:
        self.bundle = model if isinstance(model, Bundle) else Bundle.load(model)
        site = calibration_for(self.bundle, calibration)
        self.model_id = self.bundle.model_id + ("" if site is None else f"+{site.id}")
        self._reading = Reading(self.bundle, self.model_id, site, features)
        needed = features or (site is not None and bool(site.weights))
        self._engines = Engines(self.bundle, backend, precision, threads, features=needed)
        self.backend = self._engines.single.name
        self.precision = self._engines.single.precision
        self.device = self._engines.single.device

    def score(
        self,
        frame: object,
        *,
        format: str = "bgr",
        size: tuple[int, int] | None = None,
        matrix: str = "bt601",
        full_range: bool = False,
    ) -> FrameScore:
        """Score one frame.

        Args:
            frame: What `sdk.frames.as_frame` takes: uint8 [H, W, 3] and other layouts, or a Frame.
            format: Pixel format of an array: bgr, rgb, gray, bgra, rgba, nv12, i420, yuyv.
            size: (width, height) in pixels, for flat data.
            matrix: "bt601" or "bt709", for Y'CbCr formats.
            full_range: Luma spans 0-255 rather than 16-235, for Y'CbCr formats.

        Raises:
            FrameError: The frame has a wrong type, shape or size.
            UsageError: An unknown format or matrix.
            BackendError: The scorer is closed, or the network failed.
        """
        started = perf_counter()
        picture = as_frame(frame, format=format, size=size, matrix=matrix, full_range=full_range)
        return self._score(picture, started)

    def score_batch(
        self,
        frames: Iterable[object],
        *,
        format: str = "bgr",
        size: tuple[int, int] | None = None,
        matrix: str = "bt601",
        full_range: bool = False,
    ) -> list[FrameScore]:
        """Score several frames of any sizes; each gets the score that it would get alone.

        Args:
            frames: As for `score`; arrays get their position as frame index.
            format: As for `score`, for all frames.
            size: As for `score`.
            matrix: As for `score`.
            full_range: As for `score`.

        Raises:
            FrameError: As for `score`; the message tells the position.
            UsageError: As for `score`.
            BackendError: As for `score`.
        """
        self._engines.check_open()
        read = partial(as_frame, format=format, size=size, matrix=matrix, full_range=full_range)
        pictures = list(_frames_of(frames, read))
        if len(pictures) < WIDE_FROM:
            return [self._score(picture, perf_counter()) for picture in pictures]
        return list(self._score_wide(pictures))

    def stream(
        self,
        source: str | int | Path | Source | Iterable[object],
        *,
        every: int = 1,
        fps: float | None = None,
        limit: int | None = None,
    ) -> Iterator[FrameScore]:
        """Score a source frame by frame, while the next ones are decoded.

        Args:
            source: What `sdk.io.open_source` names (closed at the end), an open Source (yours to
                close), or any iterable of what `score` takes. An iterable is drawn in the calling
                thread, one frame at a time.
            every: Score frames 0, every, 2 * every, ...
            fps: Score at most that many frames a second of presentation time.
            limit: Stop after that many frames.

        Yields:
            Scores in the order of the frames, each as soon as it is there.

        Raises:
            SourceError: The source cannot be opened or breaks; the frames before are scored first.
            FrameError: An iterable gave something that is no frame.
            UsageError: Sampling that cannot be.
            BackendError: The scorer is closed, or the network failed.
        """
        from sdk.io import open_source
        from sdk.io.sampling import sample

        self._engines.check_open()
        chosen = partial(sample, every=every, fps=fps, limit=limit)
        if isinstance(source, (str, int, Path)):
            with open_source(source) as opened:
                yield from self._score_source(chosen(opened))
        elif hasattr(source, "live"):  # a Source, or one already sampled
            yield from self._score_source(chosen(cast("Source", source)))
        else:
            for frame in chosen(_frames_of(source, as_frame)):
                yield self._score(frame, perf_counter())

    def verify(self) -> float:
        """Score the golden frames and compare.

        Returns:
            max |Δscore| to the FP32 reference, in points; NaN if a score is not finite.

        Raises:
            BackendError: The scorer is closed, or the network failed.
        """
        self._engines.check_open()
        return golden_drift(self._engines.single, self.bundle)

    def close(self) -> None:
        """Release the network; frames under way finish, streams under way end with an error."""
        self._engines.close()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A Scorer cannot be pickled or copied: it holds a compiled network and its threads. "
            "Create one in each process, with the same arguments."
        )

    def __repr__(self) -> str:
        state = f"{self.backend} {self.precision} on {self.device}"
        return f"<Scorer {self.model_id}, {'closed' if self._engines.closed else state}>"

    def _score(self, frame: Frame, started: float) -> FrameScore:
        self._engines.check_open()
        return finish(self._reading, self._engines.single, prepare(self.bundle, frame, started))

    def _score_source(self, frames: Iterable[Frame]) -> Iterator[FrameScore]:
        """Score what a source gives: long files several frames at a time, the rest one by one."""
        from sdk.io.prefetch import prefetch

        length = getattr(frames, "length", None)
        live = getattr(frames, "live", False)
        if not live and (length is None or length >= WIDE_FROM):
            yield from self._score_wide(frames)
            return
        ahead = prefetch(frames)
        try:
            for frame in ahead:
                yield self._score(frame, perf_counter())
        finally:  # its thread ends before its source is closed
            cast("Generator[Frame]", ahead).close()

    def _score_wide(self, frames: Iterable[Frame]) -> Iterator[FrameScore]:
        """Score many frames, as many at a time as the engine has lanes."""
        engine = self._engines.wide()
        # Views are gathered in the feeding thread: a decoded frame is gone before the next one.
        prepared = (prepare(self.bundle, frame, perf_counter()) for frame in frames)
        yield from ordered_map(partial(finish, self._reading, engine), prepared, engine.lanes)


def _frames_of(items: Iterable[object], read: Callable[[object], Frame]) -> Iterator[Frame]:
    """Make frames of arrays, which get their position as index; a caller's Frame keeps its own."""
    for index, item in enumerate(items):
        try:
            frame = read(item)
        except FrameError as error:
            raise FrameError(f"Item {index}: {error.message}", hint=error.hint) from error
        yield frame if isinstance(item, Frame) else replace(frame, index=index)
