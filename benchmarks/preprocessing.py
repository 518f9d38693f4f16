"""What it costs to make the network's inputs of a 1080p frame, on one core."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import cv2

from benchmarks.footage import Picture
from benchmarks.layouts import TO_BGR, Pixels, layouts_of
from benchmarks.settings import Settings
from benchmarks.timing import Samples, interleave, summarise
from sdk import as_frame, preprocess
from sdk.bundle import Bundle
from sdk.pipeline import prepare

_SIDE = 224
_WARM_UP = 10  # rounds


def measure(settings: Settings, pictures: list[Picture]) -> dict[str, Any]:
    """Gather both views of 1080p frames in every layout.

    Beside them, in turns: OpenCV's area average on one thread, which makes only the smaller of the
    two views (and converts Y'CbCr first, as it must); apart: numpy's definition of both views.

    Args:
        settings: Numbers of runs.
        pictures: 1080p frames, BGR.

    Returns:
        By pixel format: µs of `views`, `opencv_area` and `numpy`.
    """
    bundle = Bundle.load(settings.model)
    layouts = [layouts_of(picture) for picture in pictures]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return {
            name: _measure_format(settings, bundle, name, [frames[name] for frames in layouts])
            for name in layouts[0]
        }
    finally:
        cv2.setNumThreads(threads)


def _measure_format(
    settings: Settings, bundle: Bundle, name: str, frames: list[Pixels]
) -> dict[str, Any]:
    def views(data: Pixels) -> object:
        return prepare(bundle, as_frame(data, format=name), perf_counter())

    def opencv_area(data: Pixels) -> object:
        bgr = cv2.cvtColor(data, TO_BGR[name]) if name in TO_BGR else data
        return cv2.resize(bgr, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)

    def numpy(data: Pixels) -> object:
        rgb = preprocess.to_rgb(as_frame(data, format=name))
        return preprocess.fragments(rgb), preprocess.resize(rgb)

    fast = {"views": _over(frames, views), "opencv_area": _over(frames, opencv_area)}
    samples = interleave(fast, settings.views_runs, min(_WARM_UP, settings.views_runs))
    samples |= interleave({"numpy": _over(frames, numpy)}, settings.numpy_runs, warm_up=1)
    return _microseconds(samples)


def _over(frames: list[Pixels], call: Callable[[Pixels], object]) -> Callable[[int], object]:
    return lambda number: call(frames[number % len(frames)])


def _microseconds(samples: Samples) -> dict[str, Any]:
    return {f"{name}_us": summarise(ms * 1e3 for ms in values) for name, values in samples.items()}
