"""How an ordinary image network reads pixels, and how its number becomes a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sdk.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Triple = tuple[float, float, float]

PREFERRED: Final = ("score", "logits")  # names that tell a score from what else a network returns


@dataclass(frozen=True, slots=True)
class ImageConvention:
    """What a network of one image input and one number expects and means.

    Networks read float pixels, normalised by a mean and a deviation for each channel, and return a
    number in a range of their own. `export.fold` writes both into the graph; the methods here do
    the same in numpy, for comparison.

    Attributes:
        mean: Subtracted from each channel, in the network's order; of pixels from 0 to 1, or of
            pixels from 0 to 255 if any value is above 1.
        std: What each channel is divided by, in the same unit.
        bgr: The network's first channel is blue.
        low: The network's number for the worst picture.
        high: Its number for the best one; less than `low` where less is better.
        output: Name or index of the output to take, where there are several.
    """

    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    bgr: bool = False
    low: float = 0.0
    high: float = 1.0
    output: str | None = None

    def __post_init__(self) -> None:
        numbers = (*self.mean, *self.std, self.low, self.high)
        if not np.isfinite(numbers).all() or min(self.std) <= 0 or min(self.mean) < 0:
            raise UsageError(
                f"Pixels are normalised with mean {_words(self.mean)} and deviation "
                f"{_words(self.std)}; the mean must be 0 or more, the deviation more than 0."
            )
        if self.low == self.high:
            raise UsageError(
                f"The output runs from {self.low:g} to {self.high:g}; the ends must differ.",
                hint="Give the network's number for the worst and the best picture: "
                "--output-range 0:1",
            )
        if 0 < max(self.mean) <= 1 and max(self.std) > 1:
            raise UsageError(
                f"Mean {_words(self.mean)} is of pixels from 0 to 1, deviation {_words(self.std)} "
                "of pixels from 0 to 255.",
                hint="Give both in one unit.",
            )

    @property
    def scale(self) -> NDArray[np.float64]:
        """What pixels from 0 to 255 are multiplied by [3]."""
        return 1 / (np.array(self.std, np.float64) * self._unit)

    @property
    def shift(self) -> NDArray[np.float64]:
        """What is added then [3]."""
        return -np.array(self.mean, np.float64) / np.array(self.std, np.float64)

    @property
    def _unit(self) -> float:
        return 1.0 if max(*self.mean, *self.std) > 1 else 255.0

    @property
    def gain(self) -> float:
        """What the network's number is multiplied by."""
        return 100 / (self.high - self.low)

    @property
    def offset(self) -> float:
        """What is added then."""
        return -self.low * self.gain

    def pixels(self, pictures: NDArray[np.uint8], *, channels_first: bool) -> NDArray[np.float32]:
        """Normalise RGB pictures.

        Args:
            pictures: uint8 [N, H, W, 3].
            channels_first: Whether the network takes [N, 3, H, W].

        Returns:
            float32 [N, 3, H, W] or [N, H, W, 3].
        """
        values = pictures.astype(np.float64) / self._unit
        ordered = values[..., ::-1] if self.bgr else values
        normal = ((ordered - self.mean) / self.std).astype(np.float32)
        return np.ascontiguousarray(np.moveaxis(normal, 3, 1) if channels_first else normal)

    def score(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Map the network's numbers for the pictures of one frame to one score [1]."""
        points = self.gain * float(np.asarray(values, np.float64).mean()) + self.offset
        return np.array([points], np.float32).clip(0, 100)

    def choose(self, shapes: Mapping[str, Sequence[int]], pictures: int) -> str:
        """Choose the output that holds the score.

        Args:
            shapes: Each output's shape by name, in order.
            pictures: How many pictures the network was given.

        Returns:
            A key of `shapes`.

        Raises:
            UsageError: No output is one number for each picture, or several are.
        """
        if self.output is not None:
            name = _named(self.output, shapes)
            _refuse_other_shapes({name: shapes[name]}, pictures)
            return name
        fitting = [name for name, shape in shapes.items() if is_score(shape, pictures)]
        if not fitting:
            _refuse_other_shapes(shapes, pictures)
        preferred = [name for name in PREFERRED if name in fitting]
        if len(fitting) > 1 and not preferred:
            raise UsageError(
                f"Several outputs could be the score: {', '.join(fitting)}.",
                hint=f"Choose one, for example --score {fitting[0]}",
            )
        return (preferred or fitting)[0]


def is_score(shape: Sequence[int], pictures: int) -> bool:
    """Whether an output is one number for each picture, or one for all of them."""
    size = int(np.prod(shape, dtype=np.int64))
    return size == 1 or (size == pictures and shape[0] == pictures)


def _named(wanted: str, shapes: Mapping[str, Sequence[int]]) -> str:
    names = list(shapes)
    if wanted in shapes:
        return wanted
    if wanted.isdecimal() and int(wanted) < len(names):
        return names[int(wanted)]
    raise UsageError(
        f"There is no output {wanted!r}; the model has {', '.join(names)} "
        f"(0 to {len(names) - 1} by index)."
    )


def _refuse_other_shapes(shapes: Mapping[str, Sequence[int]], pictures: int) -> None:
    """Refuse outputs that are no score."""
    wrong = {name: shape for name, shape in shapes.items() if not is_score(shape, pictures)}
    if wrong:
        described = ", ".join(f"{name} {list(shape)}" for name, shape in wrong.items())
        raise UsageError(
            f"For {pictures} picture{'s' * (pictures > 1)} the model returns {described}; a score "
            "is one number for each picture.",
            hint="Wrap the model in a function whose module reduces this to a score.",
        )


def _words(numbers: Sequence[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)
