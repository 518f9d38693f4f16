"""Variables of MATLAB files, up to version 7; LIVE and the LIVE Challenge give theirs so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sdk.errors import SourceError


def read_numbers(path: Path, variable: str) -> NDArray[np.float64]:
    """A vector of numbers, whether it lies or stands.

    Raises:
        SourceError: The file cannot be read, or lacks the variable.
    """
    return np.asarray(_variable(path, variable), np.float64).reshape(-1)


def read_names(path: Path, variable: str) -> list[str]:
    """A cell array of texts.

    Raises:
        SourceError: As for `read_numbers`.
    """
    cells = _variable(path, variable).reshape(-1)
    return [str(np.asarray(cell).reshape(-1)[0]) for cell in cells]


def _variable(path: Path, variable: str) -> NDArray[np.generic]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        found = loadmat(path, variable_names=[variable])
    except (NotImplementedError, MatReadError, ValueError, OSError) as error:
        raise SourceError(
            f"{path} cannot be read as a MATLAB file: {error}.",
            hint="Save it from MATLAB with -v7, or fetch it again.",
        ) from error
    if variable not in found:
        raise SourceError(
            f"{path} has no variable {variable!r}.", hint="Is it the file of another release?"
        )
    value: NDArray[np.generic] = found[variable]
    return value
