"""The frames with the largest differences, as pictures that a person can judge."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from export.verify.report import Outcome, VerifyReport, WorstFrame
from sdk.errors import SinkError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from export.frame_set import FrameSet

    Picture = NDArray[np.uint8]  # BGR [H, W, 3]

HEIGHT: Final = 384  # pixels, of what is shown

_MARGIN = 8
_LINE = 22
_GREY = 32
_UNPRINTABLE = re.compile(r"[^ -~]")  # OpenCV's font has no other characters


def save_worst_frames(report: VerifyReport, frames: FrameSet, folder: Path) -> list[Path]:
    """Save the worst frames of every way of running: the source, what the network saw, the scores.

    Args:
        report: Of a verification.
        frames: Those that were verified on.
        folder: Where to; made if it isn't there. Files of the same names are replaced.

    Returns:
        The PNG files: `PRECISION-BACKEND-RANK.png`.

    Raises:
        SinkError: The folder or a file cannot be written.
    """
    saved = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for outcome in report.outcomes:
            for rank, frame in enumerate(outcome.worst, 1):
                path = folder / f"{_file_name(outcome)}-{rank}.png"
                path.write_bytes(_png(_compose(frames, frame, outcome)))
                saved.append(path)
    except OSError as error:
        raise SinkError(
            f"The worst frames cannot be saved in {folder}: {error.strerror or error}.",
            hint="Choose a writable folder on a disk with free space.",
        ) from error
    return saved


def _file_name(outcome: Outcome) -> str:
    candidate = outcome.candidate
    profile = "" if candidate.graph.profile == "compat" else f"-{candidate.graph.profile}"
    return f"{candidate.precision}{profile}-{candidate.backend}".replace("+", "-")


def _compose(frames: FrameSet, frame: WorstFrame, outcome: Outcome) -> Picture:
    views = frames.inputs[frame.index]
    shown = [frames.picture(frame.index), *(_as_one(views[name]) for name in views)]
    names = ["source", *views]
    columns = [
        _captioned(_scaled(picture), name) for picture, name in zip(shown, names, strict=True)
    ]
    body = np.concatenate(columns, axis=1)
    heading = [
        f"{frame.name} ({frame.group})",
        f"reference {frame.reference:.3f}   {outcome.candidate} {frame.score:.3f}   "
        f"difference {frame.score - frame.reference:+.3f}",
    ]
    return np.concatenate([_text(heading, body.shape[1]), body])


def _as_one(view: NDArray[np.uint8]) -> Picture:
    """Lay out the pictures of a view [N, H, W, 3], RGB, in a square."""
    across = int(np.ceil(np.sqrt(len(view))))
    down = -(-len(view) // across)
    height, width = view.shape[1:3]
    sheet = np.full((down * height, across * width, 3), _GREY, np.uint8)
    for number, picture in enumerate(view):
        top, left = number // across * height, number % across * width
        sheet[top : top + height, left : left + width] = picture[..., ::-1]
    return sheet


def _scaled(picture: Picture) -> Picture:
    import cv2

    scale = HEIGHT / picture.shape[0]
    size = (max(1, round(picture.shape[1] * scale)), HEIGHT)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _captioned(picture: Picture, caption: str) -> Picture:
    framed = np.pad(picture, ((0, 0), (_MARGIN, _MARGIN), (0, 0)), constant_values=_GREY)
    return np.concatenate([_text([caption], framed.shape[1]), framed])


def _text(lines: Sequence[str], width: int) -> Picture:
    """Write light lines on a dark strip."""
    import cv2

    strip: Any = np.full((_LINE * len(lines) + _MARGIN, width, 3), _GREY, np.uint8)
    for number, line in enumerate(lines, 1):
        place = (_MARGIN, _LINE * number - 4)
        text = _UNPRINTABLE.sub("?", line)
        cv2.putText(
            strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230, 230, 230), 1, cv2.LINE_AA
        )
    return np.asarray(strip, np.uint8)


def _png(picture: Picture) -> bytes:
    import cv2

    _, data = cv2.imencode(".png", picture)
    return data.tobytes()
