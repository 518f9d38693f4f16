"""The binding of sdk._kernels on a library that runs the kernels under the emulation."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdk._kernels import Kernels

from .emulated import KERNELS, Library, Workshop

SOURCES = [
    KERNELS / "preprocess" / "preprocess.cu",
    KERNELS / "layer_norm" / "layer_norm.cu",
    *(KERNELS / "c_abi" / f"{name}_c.cu" for name in ("preprocess", "layer_norm", "status")),
]


@dataclass(frozen=True)
class Bound:
    """Kernels as a caller has them, and the emulation beneath."""

    library: Library
    kernels: Kernels

    @classmethod
    def build(cls, workshop: Workshop) -> Bound:
        library = workshop.library("bound", SOURCES)
        return cls(library, Kernels(workshop.folder / "bound.so"))

    def watch(
        self,
        reads: Iterable[NDArray[np.generic]],
        writes: Iterable[NDArray[np.generic]],
        seed: int = 0,
    ) -> None:
        """From now on kernels may touch these arrays and nothing else.

        A two-dimensional array is allowed row by row: the padding between its rows is out of
        bounds.
        """
        self.library.handle.emulation_begin(ctypes.c_uint64(seed))
        for array in reads:
            for row in array if array.ndim == 2 else [array]:
                self._allow(row, writable=False)
        for array in writes:
            self._allow(array, writable=True)

    def _allow(self, array: NDArray[np.generic], *, writable: bool) -> None:
        self.library.handle.emulation_allow(
            ctypes.c_void_p(array.ctypes.data),
            ctypes.c_size_t(array.nbytes),
            ctypes.c_int(writable),
        )
