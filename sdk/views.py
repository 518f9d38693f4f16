"""The views a model reads, parsed from the short specs its manifest carries."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from . import _core
from .errors import BundleError, FrameError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .frames import Frame

RESIZE_TAPS = 4  # samples per output pixel along each axis; models are trained with this value

_MAX_SIDE = 16384  # pixels, and
_MAX_BYTES = 256 * 1024 * 1024  # guard against a manifest that asks for absurd sizes
_GRAMMAR = re.compile(
    r"fragments:(?P<f_grid>\d{1,5})x(?P<f_patch>\d{1,5})"
    r"|resize:(?P<height>\d{1,5})x(?P<width>\d{1,5})"
    r"|crops:(?P<c_rows>\d{1,5})x(?P<c_columns>\d{1,5})@(?P<c_size>\d{1,5})"
)


@dataclass(frozen=True, slots=True)
class View:
    """One input of a model, gathered from a frame.

    Attributes:
        kind: "fragments", "resize" or "crops"; each is defined in `sdk.preprocess`.
        rows: Grid rows for fragments and crops, output height for resize.
        columns: Grid columns for fragments and crops, output width for resize.
        size: Side of a patch or crop in pixels; 0 for resize.
    """

    kind: Literal["fragments", "resize", "crops"]
    rows: int
    columns: int
    size: int = 0

    @classmethod
    def parse(cls, spec: str) -> View:
        """Parse "fragments:GRIDxPATCH", "resize:HEIGHTxWIDTH" or "crops:GRIDxGRID@SIZE".

        Args:
            spec: For example "fragments:7x32", "resize:224x224", "crops:5x5@224".

        Returns:
            The view.

        Raises:
            BundleError: The spec is of another form, or its sizes are zero or absurdly large.
        """
        match = _GRAMMAR.fullmatch(spec)
        if match is None:
            raise BundleError(
                f"View spec is {spec!r}; allowed are fragments:GRIDxPATCH, resize:HEIGHTxWIDTH, "
                "crops:GRIDxGRID@SIZE.",
                hint="The model needs a newer framescore, or its manifest is damaged.",
            )
        view = cls._from_match({k: int(v) for k, v in match.groupdict().items() if v is not None})
        _check_sizes(view)
        return view

    @classmethod
    def _from_match(cls, fields: dict[str, int]) -> View:
        if "f_grid" in fields:
            return cls("fragments", fields["f_grid"], fields["f_grid"], fields["f_patch"])
        if "height" in fields:
            return cls("resize", fields["height"], fields["width"])
        return cls("crops", fields["c_rows"], fields["c_columns"], fields["c_size"])

    @property
    def spec(self) -> str:
        """The text `parse` reads back to this view."""
        if self.kind == "fragments":
            return f"fragments:{self.rows}x{self.size}"
        if self.kind == "resize":
            return f"resize:{self.rows}x{self.columns}"
        return f"crops:{self.rows}x{self.columns}@{self.size}"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape (N, H, W, 3) of what `apply` returns."""
        if self.kind == "fragments":
            return (1, self.rows * self.size, self.columns * self.size, 3)
        if self.kind == "resize":
            return (1, self.rows, self.columns, 3)
        return (self.rows * self.columns, self.size, self.size, 3)

    def apply(self, frame: Frame, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Gather this view from a frame; the frame is never converted as a whole.

        Args:
            frame: A frame of any pixel format.
            out: Where to write, uint8 C-contiguous of `shape`; allocated when absent.

        Returns:
            uint8 [N, H, W, 3] RGB: `out`, or a new array.

        Raises:
            FrameError: The frame is smaller than one patch or crop.
            ValueError: `out` has another shape or type, or the frame's data does not fit its
                pixel format.
        """
        if min(frame.width, frame.height) < self.size:
            raise FrameError(
                f"Frame of {frame.width}x{frame.height} is too small for the view {self.spec}; it "
                f"takes at least {self.size}x{self.size}.",
                hint="Use a larger frame, or a model with a smaller view (framescore models).",
            )
        if out is None:
            out = np.empty(self.shape, np.uint8)
        color = frame.color
        image = (frame.data, frame.pixel_format.value, color.matrix, color.full_range)
        if self.kind == "resize":
            _core.resize(*image, self.rows, self.columns, RESIZE_TAPS, out)
        elif self.kind == "fragments":
            _core.fragments(*image, self.rows, self.size, out)
        else:
            _core.crops(*image, self.rows, self.size, out)
        return out


def _check_sizes(view: View) -> None:
    if view.kind != "resize" and view.rows != view.columns:
        raise BundleError(
            f"View {view.spec} has a {view.rows}x{view.columns} grid; it must be square."
        )
    smallest, largest = min(view.shape), max(view.shape)
    if smallest < 1 or largest > _MAX_SIDE or math.prod(view.shape) > _MAX_BYTES:
        raise BundleError(
            f"View {view.spec} has shape {view.shape}; each number must be 1 to {_MAX_SIDE} and "
            f"their product at most {_MAX_BYTES}.",
            hint="The model's manifest is damaged.",
        )
