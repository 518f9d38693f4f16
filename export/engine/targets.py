"""What an engine is built for: the GPU of this machine, or kinds of GPUs by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from export.engine.api import Toolkit, load_toolkit
from export.engine.gpu import Gpu, find_gpu
from sdk.errors import BackendError, UsageError

THIS: Final = "this"
JETSON_ORIN: Final = "jetson-orin"
RTX: Final = "rtx"
_ORIN: Final = 87
_EXAMPLES: Final = "this, jetson-orin, rtx, or a compute capability such as sm_86"


@dataclass(frozen=True, slots=True)
class Target:
    """What to build for, and with what.

    Attributes:
        name: As the user named it.
        toolkit: The TensorRT that builds it.
        capabilities: Compute capabilities to build for; empty for the default of TensorRT-RTX, and
            where the builder takes the GPU it finds.
        gpu: The GPU that the engine is tied to; None where it is tied to none.
    """

    name: str
    toolkit: Toolkit
    capabilities: tuple[int, ...] = ()
    gpu: Gpu | None = None


def resolve_target(name: str) -> Target:
    """Find out what a target means on this machine.

    Args:
        name: "this", "jetson-orin", "rtx" (what TensorRT-RTX builds for by itself: 8.0, 8.6, 8.9,
            12.0 and later), or "sm_75" to "sm_121".

    Raises:
        UsageError: There is no such target.
        BackendError: It cannot be built here.
    """
    if name == THIS:
        return _this_gpu(name, _needed_gpu())
    if name == JETSON_ORIN:
        return _jetson_orin()
    if name == RTX:
        return Target(name, load_toolkit("tensorrt_rtx"))
    match = re.fullmatch(r"sm_(\d{2,3})", name)
    if match is None:
        raise UsageError(f"There is no target {name!r}.", hint=f"Targets are {_EXAMPLES}.")
    return _capability(name, int(match[1]))


def _needed_gpu() -> Gpu:
    gpu = find_gpu()
    if gpu is None:
        raise BackendError(
            "The target 'this' is the GPU of this machine, and no NVIDIA GPU with a driver was "
            "found.",
            hint="Build on the machine that will run the engine, or for RTX cards with "
            "--target rtx or --target sm_86.",
        )
    return gpu


def _this_gpu(name: str, gpu: Gpu) -> Target:
    """TensorRT where it is installed: it measures kernels on the GPU, TensorRT-RTX doesn't."""
    try:
        return Target(name, load_toolkit("tensorrt"), gpu=gpu)
    except BackendError as missing:
        try:
            toolkit = load_toolkit("tensorrt_rtx")
        except BackendError as error:
            raise BackendError(f"{missing.message} {error.message}", hint=missing.hint) from error
    if gpu.sm not in toolkit.capabilities():
        raise _not_by_rtx(toolkit, gpu.sm)
    return Target(name, toolkit, (gpu.capability,))


def _jetson_orin() -> Target:
    gpu = find_gpu()
    if gpu is None or gpu.capability != _ORIN:
        found = f"this one has {gpu.name} (sm_{gpu.capability})" if gpu else "this one has no GPU"
        raise BackendError(
            f"An engine for Jetson Orin (sm_87) is built on an Orin, by the TensorRT of its "
            f"JetPack, which measures kernels there; {found}.",
            hint="Copy the bundle to the Jetson and run there: "
            "framescore engine build BUNDLE --target this",
        )
    return Target(JETSON_ORIN, load_toolkit("tensorrt"), gpu=gpu)


def _capability(name: str, number: int) -> Target:
    """TensorRT-RTX where it knows the capability; TensorRT only on such a GPU."""
    gpu = find_gpu()
    try:
        toolkit = load_toolkit("tensorrt_rtx")
    except BackendError:
        if gpu is None or gpu.capability != number:
            raise
        return Target(name, load_toolkit("tensorrt"), gpu=gpu)
    if name in toolkit.capabilities():
        return Target(name, toolkit, (number,))
    if gpu is not None and gpu.capability == number:
        return Target(name, load_toolkit("tensorrt"), gpu=gpu)
    raise _not_by_rtx(toolkit, name)


def _not_by_rtx(toolkit: Toolkit, sm: str) -> BackendError:
    return BackendError(
        f"{toolkit.name} builds for {', '.join(toolkit.capabilities())}, not for {sm}.",
        hint=f"Build with TensorRT on a machine with an {sm} GPU: --target this",
    )
