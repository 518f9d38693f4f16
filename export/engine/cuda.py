"""CUDA's runtime from Python: its module's place, and errors as exceptions."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any, Final

from sdk.errors import BackendError

_PLACES: Final = ("cuda.bindings.runtime", "cuda.cudart")


class CudaError(BackendError):
    """A CUDA call that failed."""


def cuda_runtime() -> ModuleType:
    """Return cuda-python's runtime module, whose place has changed over the versions.

    Raises:
        BackendError: It is not installed.
    """
    reason = ""
    for name in _PLACES:
        try:
            return import_module(name)
        except ImportError as error:
            reason = reason or str(error)
    raise BackendError(
        f"Engines cannot be run without cuda-python: {reason}.", hint="pip install cuda-python"
    )


def checked(answer: tuple[Any, ...]) -> Any:
    """Return what a CUDA call gives beside its status.

    Raises:
        CudaError: The status isn't success.
    """
    status, *values = answer
    if int(status) != 0:
        raise CudaError(f"CUDA: {status.name}")
    return values[0] if len(values) == 1 else values
