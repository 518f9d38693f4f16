"""Native gathers (cpp/): bit-identical to sdk.preprocess, one pass, no whole-frame conversion.

`data` is a frame's array as described in sdk.frames.Frame: pixels packed, rows anywhere. Each
function fills `out` in place, releases the GIL meanwhile, and raises ValueError on arrays that do
not fit.
"""

import numpy as np
from numpy.typing import NDArray

def fragments(
    data: NDArray[np.uint8],
    format: str,
    matrix: str,
    full_range: bool,
    grid: int,
    patch: int,
    out: NDArray[np.uint8],  # [1, grid*patch, grid*patch, 3]
) -> None: ...
def resize(
    data: NDArray[np.uint8],
    format: str,
    matrix: str,
    full_range: bool,
    height: int,
    width: int,
    taps: int,
    out: NDArray[np.uint8],  # [1, height, width, 3]
) -> None: ...
def crops(
    data: NDArray[np.uint8],
    format: str,
    matrix: str,
    full_range: bool,
    grid: int,
    size: int,
    out: NDArray[np.uint8],  # [grid*grid, size, size, 3]
) -> None: ...
