"""Golden frames: inputs with the scores they must get, in a bundle's `golden.npz`."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sdk.archive import Archive
from sdk.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from sdk.views import View

MAX_GOLDEN: Final = 256  # frames


@dataclass(frozen=True, slots=True)
class Golden:
    """Frames as the network takes them, and the scores of the FP32 reference.

    Attributes:
        inputs: uint8 [G, N, H, W, 3] by the name of the input, or [G, H, W, 3] where N is 1.
        score: float32 [G], the reference's scores.
    """

    inputs: Mapping[str, NDArray[np.uint8]]
    score: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.score)

    def frames(self) -> Iterator[dict[str, NDArray[np.uint8]]]:
        """Iterate the frames as a backend takes them: uint8 [N, H, W, 3] by input."""
        for index in range(len(self)):
            yield {
                name: array[index].reshape(-1, *array.shape[-3:])
                for name, array in self.inputs.items()
            }


def read_golden(data: bytes, views: Mapping[str, View], name: str) -> Golden:
    """Read a golden.npz and check it against the views.

    Args:
        data: The npz file.
        views: The model's views by input name.
        name: How messages call the file.

    Raises:
        BundleError: Damaged, or arrays missing, of another type, or of other sizes.
    """
    archive = Archive(data, name)
    arrays = {entry.removesuffix(".npy"): _read_npy(archive, entry) for entry in archive.names}
    wanted = {*views, "score"}
    if set(arrays) != wanted:
        raise BundleError(
            f"{name} holds the arrays {', '.join(sorted(arrays)) or 'none'}; the manifest asks "
            f"for {', '.join(sorted(wanted))}."
        )
    count = arrays["score"].size
    if not 1 <= count <= MAX_GOLDEN or not np.isfinite(arrays["score"]).all():
        raise BundleError(f"{name} holds {count} scores; allowed are 1 to {MAX_GOLDEN}, finite.")
    _check(arrays["score"], (count,), np.float32, f"{name}: score")
    for key, view in views.items():
        frames, *rest = view.shape
        shape = (count, *rest) if frames == 1 else (count, frames, *rest)
        _check(arrays[key], shape, np.uint8, f"{name}: {key}")
    return Golden({key: arrays[key] for key in views}, arrays["score"])


def _read_npy(archive: Archive, entry: str) -> NDArray[Any]:
    """Read an array without the memory that a false header could ask for."""
    data = archive.read(entry)
    stream = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("not version 1.0 of the npy format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        body = data[stream.tell() :]
        if fortran or dtype not in (np.uint8, np.float32):
            raise ValueError(f"dtype {dtype}, Fortran order {fortran}; allowed are uint8, float32")
        if math.prod(shape) * dtype.itemsize != len(body):
            raise ValueError(f"shape {shape} of {dtype} does not fit its {len(body)} bytes")
        return np.frombuffer(body, dtype).reshape(shape)
    except (ValueError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError) as error:
        raise BundleError(f"Golden array {entry} cannot be read: {error}.") from error


def _check(array: NDArray[Any], shape: tuple[int, ...], dtype: type, name: str) -> None:
    if array.shape != shape or array.dtype != dtype:
        raise BundleError(
            f"{name} is {array.dtype} {array.shape}; the manifest asks for "
            f"{np.dtype(dtype)} {shape}."
        )
