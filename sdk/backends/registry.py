"""Backends by name: which there are, which can be imported, which one "auto" means."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from sdk.backends.base import Backend, BackendModule, BackendOptions
from sdk.backends.telemetry import no_telemetry
from sdk.errors import BackendError, UsageError
from sdk.precision import PRECISIONS, open_with_precision

if TYPE_CHECKING:
    from sdk.bundle import Bundle


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """Where a backend lives and how it is installed.

    Attributes:
        module: The module here that wraps the runtime.
        package: The runtime's own module.
        install: What to give pip.
    """

    module: str
    package: str
    install: str


BACKENDS: Final = {  # in the order in which "auto" tries them
    "openvino": BackendEntry("sdk.backends.openvino", "openvino", "openvino"),
    "onnxruntime": BackendEntry(
        "sdk.backends.onnxruntime", "onnxruntime", "framescore[onnxruntime]"
    ),
}

_MAX_COUNT: Final = 1024  # runtimes start as many threads as they are told to


def create_backend(
    bundle: Bundle,
    name: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    lanes: int = 1,
    *,
    features: bool = False,
) -> Backend:
    """Compile a bundle's network for this machine.

    Args:
        bundle: The model.
        name: A key of `BACKENDS`, or "auto" for the first of them that is installed.
        precision: "fp32", "bf16", "fp16", "int8" (the last two where the bundle has their graph),
            or "auto": fp32, or bf16 where the CPU has it and the golden scores stay within 0.5.
        threads: CPU threads to use; None leaves the choice to the runtime.
        lanes: Frames to compute at the same time.
        features: Return the output `features` as well, where the model has it.

    Raises:
        UsageError: An unknown name or precision, or a number outside 1 to 1024.
        BackendError: The backend is not installed or cannot run the model in that precision.
        BundleError: The network does not fit its manifest, or there is none of that precision.
    """
    _check_choice("backend", name, ("auto", *BACKENDS))
    _check_choice("precision", precision, ("auto", *PRECISIONS))
    _check_count("threads", threads)
    _check_count("lanes", lanes)
    module = _load_first() if name == "auto" else _load(name)
    options = BackendOptions(threads=threads, lanes=lanes, features=features)
    return open_with_precision(module, bundle, precision, options)


def _load(name: str) -> BackendModule:
    entry = BACKENDS[name]
    try:
        with no_telemetry():
            import_module(entry.package)
    except ImportError as error:
        raise BackendError(
            f"Backend {name!r} needs the package {entry.package}, which cannot be imported "
            f"({error}).",
            hint=f"Install it: pip install '{entry.install}'",
        ) from error
    return cast(BackendModule, import_module(entry.module))


def _load_first() -> BackendModule:
    reasons = []
    for name in BACKENDS:
        try:
            return _load(name)
        except BackendError as error:
            reasons.append(error.message)
    raise BackendError(
        f"No inference backend is installed. {' '.join(reasons)}",
        hint=f"Install one: pip install {next(iter(BACKENDS.values())).install}",
    )


def _check_choice(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{what} is {value!r}; allowed are {', '.join(allowed)}.")


def _check_count(what: str, value: object) -> None:
    if value is None:
        return
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 1 <= cast(int, value) <= _MAX_COUNT:
        raise UsageError(f"{what} is {value!r}; it must be an integer from 1 to {_MAX_COUNT}.")
