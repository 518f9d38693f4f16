"""Arrays that take minutes to make, kept on disk with what they depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iqa.whole_file import whole_file
from sdk.errors import UsageError

Arrays = dict[str, NDArray[Any]]


def kept_or_made(path: Path, claim: str, make: Callable[[], Mapping[str, Any]]) -> Arrays:
    """Read what an earlier call kept in ``path``, or make it and keep it there.

    Args:
        path: An npz.
        claim: What the arrays depend on.
        make: Lists or arrays by name; floats are kept as float32.

    Raises:
        UsageError: ``path`` holds arrays with another claim.
    """
    if not path.is_file():
        _write(path, claim, {name: np.array(values) for name, values in make().items()})
    with np.load(path) as file:
        if str(file["claim"]) != claim:
            raise UsageError(
                f"{path} holds samples of other photographs, settings or weights.",
                hint="Give another --work folder, or delete this file.",
            )
        return {name: file[name] for name in file.files if name != "claim"}


def _write(path: Path, claim: str, arrays: Arrays) -> None:
    floats = {n: v.astype(np.float32) for n, v in arrays.items() if v.dtype.kind == "f"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as stream:
        np.savez(stream, claim=np.array(claim), **arrays | floats)
