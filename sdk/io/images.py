"""Still images: one file, a directory, or a glob."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SourceError
from ..frames import Frame
from .image_header import image_size, jpeg_lacks_end
from .limits import check_size
from .opencv import decoded_frame, load_cv2
from .source import Source, Wanted
from .suffixes import FLOAT_SUFFIXES, IMAGE_SUFFIXES

_log = logging.getLogger("framescore")

LOW_PEAK = 1 << 12  # 16-bit files below it probably hold 12-bit samples, and would look black
FIX_DEPTH = "Convert it to 8 bits with the tone mapping you mean, for example to PNG."


class ImageFiles(Source):
    """Image files in a given order; sizes may differ. `Frame.source` is each file's own path.

    A damaged file among several is skipped with a warning, the rest are delivered, and a
    SourceError that names the damaged ones ends the iteration.

    Args:
        paths: The files, at least one.
        name: Of the whole source.
        fps: Rate, if the images are frames of a sequence.
    """

    live = False

    def __init__(self, paths: Sequence[str], name: str, *, fps: float | None = None) -> None:
        self.name = name
        self.length: int | None = len(paths)
        self.fps = fps
        self.dropped = 0
        self._paths = list(paths)

    def select(self, wanted: Wanted) -> Iterator[Frame]:
        """Iterate the images that `wanted` accepts; others are not opened."""
        faults: list[SourceError] = []
        for index, path in enumerate(self._paths):
            pts_s = index / self.fps if self.fps else None
            if not wanted(index, pts_s):
                continue
            try:
                frame = _load_frame(path, index, pts_s)
            except SourceError as error:
                if len(self._paths) == 1:
                    raise
                _log.warning("skipped: %s", error.message)
                faults.append(error)
                continue
            yield frame
        if faults:
            raise _summary(self.name, len(self._paths), faults)

    def close(self) -> None:
        """Nothing is held between images."""


def open_directory(path: str, *, fps: float | None = None) -> ImageFiles:
    """Open the images of a directory, in natural order, without its subdirectories.

    Args:
        path: The directory. Files whose name begins with a dot are left out.
        fps: Rate, if the images are frames of a sequence.

    Returns:
        The source.

    Raises:
        SourceError: No permission, or no image in it.
    """
    try:
        files = [str(entry) for entry in Path(path).iterdir() if entry.is_file()]
    except OSError as error:
        raise SourceError(
            f"Directory {path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from error
    return _open_images(files, f"Directory {path}", path, fps)


def open_glob(pattern: str, *, fps: float | None = None) -> ImageFiles:
    """Open the images that a pattern matches, in natural order; `**` spans directories.

    Args:
        pattern: With *, ?, [...] or **.
        fps: Rate, if the images are frames of a sequence.

    Returns:
        The source.

    Raises:
        SourceError: No match, or no image among the matches.
    """
    try:
        files = [match for match in _matches(pattern) if Path(match).is_file()]
    except (OSError, ValueError, re.error) as error:
        raise SourceError(
            f"Pattern {pattern!r} cannot be matched: {error}.", hint="Check the pattern."
        ) from error
    return _open_images(files, f"Pattern {pattern!r}", pattern, fps)


def _matches(pattern: str) -> set[str]:
    """Match like `glob.glob`, but `**` enters no linked directory: links may form loops."""
    if pattern == "**" or pattern.endswith("/**"):
        pattern += "/*"
    head, spanning, tail = pattern.partition("**/")
    if not spanning or (head and not head.endswith("/")):
        return set(glob.glob(pattern))  # noqa: PTH207 - Path.glob wants a root
    found: set[str] = set()
    for start in glob.glob(head) if head else ["."]:  # noqa: PTH207
        for folder, below, _ in os.walk(start):
            below[:] = [name for name in below if not name.startswith(".")]
            prefix = "" if folder == "." else f"{glob.escape(folder.rstrip('/'))}/"
            found |= _matches(prefix + tail)
    return {match.removeprefix("./") if not head else match for match in found}


def natural_key(path: str) -> tuple[tuple[object, ...], ...]:
    """Sort key that puts shot2.png before shot10.png, directory by directory.

    Args:
        path: Any path.

    Returns:
        One tuple a path part: text and numbers in turn, then the part itself to break ties.
    """
    return tuple(_natural_part(part) for part in Path(path).parts)


def _natural_part(part: str) -> tuple[object, ...]:
    name = re.sub(r"(?<=.)\.[a-z]\w*$", "", part.casefold())  # shot.png before shot2.png
    pieces = re.split(r"([0-9]+)", name)  # text at even places, digits at odd ones
    pieces[1::2] = [digits.lstrip("0") for digits in pieces[1::2]]
    ranked = [(len(piece), piece) if place % 2 else piece for place, piece in enumerate(pieces)]
    return tuple(ranked), part


def _open_images(files: Iterable[str], what: str, name: str, fps: float | None) -> ImageFiles:
    seen = sorted((file for file in files if Path(file).name[0] != "."), key=natural_key)
    if not seen:
        raise SourceError(f"{what}: no file was found.", hint="Check the spelling.")
    images = [file for file in seen if Path(file).suffix.lower() in IMAGE_SUFFIXES]
    if images:
        return ImageFiles(images, name, fps=fps)
    kinds = Counter(Path(file).suffix.lower() or "without suffix" for file in seen)
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
    raise SourceError(
        f"{what} holds no image but {found}; images are {', '.join(IMAGE_SUFFIXES)}.",
        hint="Give videos one by one, as files.",
    )


def _load_frame(path: str, index: int, pts_s: float | None) -> Frame:
    return decoded_frame(read_image(path), index, pts_s, path)


def read_image(path: str) -> NDArray[np.uint8]:
    """Decode an image file: BGR, turned as its EXIF orientation says, alpha dropped.

    16-bit samples are reduced to their high byte (`>> 8`), gray is repeated in three channels, of
    several pages or animation frames the first is taken.

    Args:
        path: The file.

    Returns:
        uint8 [H, W, 3].

    Raises:
        SourceError: Unreadable, damaged, of an unknown format, float, below 32 pixels a side or
            above 200 megapixels.
    """
    if Path(path).suffix.lower() in FLOAT_SUFFIXES:
        raise _float_image(path, "float")
    data = _read_bytes(path)
    cv2 = load_cv2()
    image = None
    with suppress(cv2.error, MemoryError):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None or jpeg_lacks_end(data):
        raise SourceError(
            f"{path} cannot be decoded: it is damaged, cut short, or of a format that this OpenCV "
            f"({cv2.__version__}) lacks (it begins with {data[:12]!r}).",
            hint="Copy or export it again, as PNG or JPEG.",
        )
    return _to_8_bits(image, path)


def _read_bytes(path: str) -> bytes:
    """The file's bytes, once its header promises a size that is decoded."""
    try:
        with Path(path).open("rb") as file:
            size = image_size(file)
            if size is not None:
                check_size(*size, path)
            file.seek(0)
            data = file.read()
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read: {error.strerror}.",
            hint="Check that it exists and is readable.",
        ) from error
    if not data:
        raise SourceError(f"{path} is empty (0 bytes).", hint="Copy or export it again.")
    return data


def _to_8_bits(image: NDArray[np.generic], path: str) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    check_size(width, height, path)  # formats whose header was not understood
    if image.dtype == np.uint8:
        return image  # type: ignore[return-value]
    if image.dtype != np.uint16:
        raise _float_image(path, str(image.dtype))
    reduced: NDArray[np.uint8] = (image.astype(np.uint16) >> 8).astype(np.uint8)
    peak = int(image.max())
    if 0 < peak < LOW_PEAK:
        _log.warning(
            "%s: 16-bit samples peak at %d; if they hold 10 or 12 bits, scale them first",
            path,
            peak,
        )
    return reduced


def _float_image(path: str, dtype: str) -> SourceError:
    return SourceError(
        f"{path} has {dtype} samples; images of 8 or 16 unsigned bits are scored.", hint=FIX_DEPTH
    )


def _summary(name: str, total: int, faults: list[SourceError]) -> SourceError:
    first = "; ".join(fault.message.rstrip(".") for fault in faults[:3])
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return SourceError(
        f"{len(faults)} of {total} images of {name} could not be read: {first}{more}.",
        hint="The others were delivered. Repair or remove these.",
    )
