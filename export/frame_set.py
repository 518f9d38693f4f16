"""Frames to calibrate and to judge on: many contents, each clean and with known faults."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from export.progress import Progress, silent
from sdk.demo.degradations import DEGRADATIONS
from sdk.demo.photographs import load_photograph
from sdk.errors import FramescoreError, UsageError
from sdk.frames import as_frame
from sdk.io.images import natural_key, read_image
from sdk.io.suffixes import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.reference import Inputs
    from sdk.views import View

    Picture = NDArray[np.uint8]  # BGR [H, W, 3]

_log = logging.getLogger("framescore")

CLEAN: Final = "clean"  # the group of pictures as they were found
STRENGTHS: Final = (0.1, 0.3, 0.5, 0.7, 0.95)  # from hardly visible to ruined
NEAR_DUPLICATE: Final = 1.0  # grey levels of mean absolute difference between input pixels
PHOTOGRAPHS: Final = ("coffee.png", "astronaut.png", "chelsea.png")
CROPS: Final = 12  # of each photograph, the whole one included
MAX_BYTES: Final = 2 * 2**30  # of input pixels: they are all held in memory

_SMALLEST_CROP = 0.5  # of the photograph's side
_COMPARED = 8192  # values of a frame's inputs that near-duplicates are told by, evenly spread


@dataclass(frozen=True)
class FrameSet:
    """Frames as a network takes them, and how each came about.

    Attributes:
        inputs: For each frame uint8 [N, H, W, 3] by input.
        names: What a report calls each frame.
        groups: The degradation of each frame, or "clean".
        contents: The photograph or file that each frame shows.
        sha256: Hash over the input pixels of all frames in order.
    """

    inputs: tuple[Inputs, ...] = field(repr=False, compare=False)  # sha256 stands for them
    names: tuple[str, ...]
    groups: tuple[str, ...]
    contents: tuple[str, ...]
    sha256: str
    _recipes: tuple[_Recipe, ...] = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.inputs)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """Make the source picture of a frame again: BGR [H, W, 3].

        Args:
            index: Of the frame.

        Raises:
            SourceError: Its file has gone.
        """
        return self._recipes[index].make()

    def split(self, share: float) -> tuple[FrameSet, FrameSet]:
        """Part the frames so that no content is on both sides.

        Args:
            share: Of the frames, about, that go to the second set; contents are not cut.

        Returns:
            The rest and the held-out part; equal sets give equal parts.

        Raises:
            UsageError: All frames show one content.
        """
        contents = sorted(
            set(self.contents), key=lambda name: hashlib.sha256(name.encode()).digest()
        )
        if len(contents) < 2:
            raise UsageError(
                f"All {len(self)} frames show {contents[0]}; a held-out part needs other contents.",
                hint="Give more pictures.",
            )
        held = set(contents[: min(max(1, round(share * len(contents))), len(contents) - 1)])
        rest = [i for i, content in enumerate(self.contents) if content not in held]
        return self.take(rest), self.take([i for i in range(len(self)) if i not in {*rest}])

    def take(self, indices: Sequence[int]) -> FrameSet:
        """Pick frames by index; the hash is theirs."""
        return _frame_set([self.inputs[i] for i in indices], [self._recipes[i] for i in indices])


def collect_frames(
    source: Path | None,
    views: Mapping[str, View],
    count: int = 256,
    *,
    degrade: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> FrameSet:
    """Gather frames that spread evenly over contents, degradations and strengths.

    Files that cannot be read and pictures too small for a view are left out with a warning. So
    are near-duplicates, silently: frames whose input pixels differ from those of another frame
    by less than `NEAR_DUPLICATE` in the mean.

    Args:
        source: A folder of pictures, searched with its subfolders; None takes crops of the
            freely licensed photographs that scikit-image brings.
        views: What the network reads, by input.
        count: How many frames; there may be fewer where the pictures give no more.
        degrade: Make faults; otherwise pictures stay as they were found.
        seed: Of the choice of contents and of noise. Equal arguments give equal frames.
        progress: Told how many frames there are.

    Returns:
        The frames, no two of them equal.

    Raises:
        UsageError: No picture that can be used, or a count that cannot be.
        FramescoreError: scikit-image is needed and isn't installed.
    """
    _check_count(count, views)
    contents = _photograph_crops(views) if source is None else _folder(source)
    order = np.random.default_rng(seed).permutation(len(contents))
    kept = _Kept(views)
    queues = _queues([contents[i] for i in order], degrade, seed)
    while queues and len(kept.recipes) < count:
        # Round by round one frame of every group that has one left.
        queues = [queue for queue in queues if len(kept.recipes) == count or kept.add_next(queue)]
        progress("frames", len(kept.recipes), count)
    if not kept.recipes:
        raise UsageError(
            f"None of the {len(contents)} pictures in {source} can be used.",
            hint="The warnings name each with its reason.",
        )
    if len(kept.recipes) < count:
        _log.warning("%d frames were found of %d asked for", len(kept.recipes), count)
    return _frame_set(kept.inputs, kept.recipes)


@dataclass(frozen=True)
class _Content:
    """A picture that frames are made of; `part` tells crops of one photograph apart."""

    name: str
    read: Callable[[], Picture]
    part: str = ""


@dataclass(frozen=True)
class _Recipe:
    """How a frame is made: what is shown, its fault, and the seed of the noise in it."""

    content: _Content
    group: str
    strength: float
    seed: tuple[int, ...]

    @property
    def name(self) -> str:
        shown = self.content.name + self.content.part
        return shown if self.group == CLEAN else f"{shown} {self.group} {self.strength}"

    def make(self) -> Picture:
        picture = self.content.read()
        if self.group == CLEAN:
            return picture
        return DEGRADATIONS[self.group](picture, self.strength, np.random.default_rng(self.seed))


class _Kept:
    """Frames taken so far, and what must not be taken again."""

    def __init__(self, views: Mapping[str, View]) -> None:
        self.inputs: list[Inputs] = []
        self.recipes: list[_Recipe] = []
        self._views = views
        self._unusable: set[_Content] = set()
        self._samples: list[NDArray[np.int16]] = []

    def add_next(self, queue: Iterator[_Recipe]) -> bool:
        """Keep the first frame of a queue that can be made and is new; False if there is none."""
        return any(self._add(recipe) for recipe in queue)

    def _add(self, recipe: _Recipe) -> bool:
        if recipe.content in self._unusable:
            return False
        try:
            frame = as_frame(recipe.make())
            inputs = {name: view.apply(frame) for name, view in self._views.items()}
        except FramescoreError as error:
            _log.warning("left out: %s: %s", recipe.content.name, error.message)
            self._unusable.add(recipe.content)
            return False
        sample = _sample(inputs)
        if self._is_known(sample):
            return False
        self.inputs.append(inputs)
        self.recipes.append(recipe)
        self._samples.append(sample)
        return True

    def _is_known(self, sample: NDArray[np.int16]) -> bool:
        return any(np.abs(other - sample).mean() < NEAR_DUPLICATE for other in self._samples)


def _sample(inputs: Inputs) -> NDArray[np.int16]:
    """Evenly spread values of all inputs, at most about `_COMPARED`: [K]."""
    values = np.concatenate([inputs[name].ravel() for name in sorted(inputs)])
    step = max(1, math.ceil(len(values) / _COMPARED)) | 1  # odd: it visits every colour channel
    step += 2 * (step % 3 == 0)
    return values[::step].astype(np.int16)


def _queues(contents: Sequence[_Content], degrade: bool, seed: int) -> list[Iterator[_Recipe]]:
    """The recipes of each group; groups begin at different contents."""
    groups = (CLEAN, *sorted(DEGRADATIONS)) if degrade else (CLEAN,)
    return [
        _of_group(contents, group, number * len(contents) // len(groups), seed)
        for number, group in enumerate(groups)
    ]


def _of_group(contents: Sequence[_Content], group: str, first: int, seed: int) -> Iterator[_Recipe]:
    """Every content at every strength once: contents in turn, strengths as in a Latin square."""
    strengths = (0.0,) if group == CLEAN else STRENGTHS
    for lap in range(len(strengths)):
        for step in range(len(contents)):
            place = (first + step) % len(contents)
            strength = strengths[(step + lap) % len(strengths)]
            yield _Recipe(contents[place], group, strength, (seed, place, lap))


def _photograph_crops(views: Mapping[str, View]) -> list[_Content]:
    smallest = max(view.size for view in views.values())
    return [
        _Content(name, partial(_crop, name, number, smallest), f" {number}")
        for number in range(CROPS)
        for name in PHOTOGRAPHS
    ]


def _crop(name: str, number: int, smallest: int) -> Picture:
    """Cut a part of a photograph, of its own size and place; enlarge what no view could take."""
    import cv2

    picture = load_photograph(name)
    if number:
        rng = np.random.default_rng((number, *name.encode()))
        height, width = (round(side * rng.uniform(_SMALLEST_CROP, 1)) for side in picture.shape[:2])
        top = rng.integers(picture.shape[0] - height + 1)
        left = rng.integers(picture.shape[1] - width + 1)
        picture = picture[top : top + height, left : left + width]
    scale = smallest / min(picture.shape[:2])
    if scale <= 1:
        return np.ascontiguousarray(picture)
    size = tuple(max(smallest, round(side * scale)) for side in picture.shape[1::-1])
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def _folder(folder: Path) -> list[_Content]:
    files = [
        Path(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if name[0] != "." and Path(name).suffix.lower() in IMAGE_SUFFIXES
    ]
    if not files:
        raise UsageError(
            f"{folder} holds no picture." if folder.is_dir() else f"{folder} is not a folder.",
            hint=f"Give a folder with pictures: {', '.join(IMAGE_SUFFIXES)}.",
        )
    names = sorted((str(file.relative_to(folder)) for file in files), key=natural_key)
    return [_Content(name, partial(read_image, str(folder / name))) for name in names]


def _frame_set(inputs: Sequence[Inputs], recipes: Sequence[_Recipe]) -> FrameSet:
    return FrameSet(
        tuple(inputs),
        tuple(recipe.name for recipe in recipes),
        tuple(recipe.group for recipe in recipes),
        tuple(recipe.content.name for recipe in recipes),
        _hash(inputs),
        tuple(recipes),
    )


def _hash(frames: Sequence[Inputs]) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        for name in sorted(frame):
            digest.update(f"{name} {frame[name].shape}\n".encode())
            digest.update(np.ascontiguousarray(frame[name]).data)
    return digest.hexdigest()


def _check_count(count: int, views: Mapping[str, View]) -> None:
    size = sum(math.prod(view.shape) for view in views.values())
    most = MAX_BYTES // size
    if not 1 <= count <= most:
        raise UsageError(
            f"{count} frames were asked for; with these views 1 to {most} fit into "
            f"{MAX_BYTES >> 30} GiB."
        )
