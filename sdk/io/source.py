"""What a source of frames is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

from ..frames import Frame

Wanted = Callable[[int, "float | None"], bool]  # (index, pts_s) → deliver this frame?
_Self = TypeVar("_Self", bound="Source")


@runtime_checkable
class Source(Protocol):
    """An opened source: a context manager that iterates frames.

    Files can be iterated again; standard input once. Files deliver every frame; live sources the
    latest one, and count what they dropped.

    Attributes:
        name: As the user gave it, without the password of a stream's address.
        length: Frames it declares, for progress; None when unknown. Decoding may find fewer.
        fps: Declared frames a second; None when unknown. Pipes and cameras know it only once
            iteration has begun.
        live: Whether frames arrive in real time and may be dropped.
        dropped: Frames dropped so far.
    """

    name: str
    length: int | None
    fps: float | None
    live: bool
    dropped: int

    def select(self, wanted: Wanted) -> Iterator[Frame]:
        """Iterate the frames that `wanted(index, pts_s)` accepts.

        It is asked once a frame, in order; what it declines costs no decoding where the format
        allows.

        Raises:
            SourceError: While iterating, after the frames before the fault.
        """
        ...

    def close(self) -> None:
        """Release files, devices and threads; may be called twice."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        return self.select(_every_frame)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _every_frame(_index: int, _pts_s: float | None) -> bool:
    return True
