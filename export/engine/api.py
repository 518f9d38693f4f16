"""Which TensorRT is installed, and what it can do: probed, not concluded from its version."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final, cast

from export.engine.surface import OPTIONAL, TensorRT
from sdk.errors import BackendError

BACKENDS: Final = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_INSTALL: Final = {
    "tensorrt": "On a Jetson it comes with JetPack; elsewhere: pip install 'framescore[trt]'",
    "tensorrt_rtx": "Install it: pip install 'framescore[rtx]'",
}


@dataclass(frozen=True, slots=True)
class Features:
    """What the bindings offer beyond what all of them do; the names are `surface.OPTIONAL`'s.

    Attributes:
        ahead_of_time: Builds on a CPU for GPUs that are named, and times nothing: TensorRT-RTX.
        plugins: Operators may come from libraries.
        quick_plugins: A plan may hold operators' kernels, described in Python.
        native_attention: Parses the `Attention` operator of opset 23.
    """

    ahead_of_time: bool
    plugins: bool
    quick_plugins: bool
    native_attention: bool


@dataclass(frozen=True, slots=True)
class Toolkit:
    """One installed TensorRT.

    Attributes:
        module: The module `tensorrt` or `tensorrt_rtx`.
        backend: Its name.
        version: Its exact version.
        features: What it offers.
    """

    module: TensorRT
    backend: str
    version: str
    features: Features

    @property
    def name(self) -> str:
        """The product and its version, for people."""
        return f"{BACKENDS[self.backend]} {self.version}"

    def capabilities(self) -> dict[str, int]:
        """The compute capabilities that it builds for without such a GPU: 86 by "sm_86"."""
        if not self.features.ahead_of_time:
            return {}
        members = self.module.ComputeCapability.__members__
        named = {name: int(member) for name, member in members.items() if name.startswith("SM")}
        return {f"sm_{number}": number for number in sorted(named.values())}


def load_toolkit(backend: str) -> Toolkit:
    """Import a TensorRT.

    Args:
        backend: "tensorrt" or "tensorrt_rtx".

    Raises:
        BackendError: It is not installed, or its libraries cannot be loaded.
    """
    try:
        module = cast("TensorRT", import_module(backend))
    except (ImportError, OSError) as error:
        raise BackendError(
            f"{BACKENDS[backend]} cannot be imported: {error}.", hint=_INSTALL[backend]
        ) from error
    return Toolkit(module, backend, str(module.__version__), probe(module))


def probe(module: object) -> Features:
    """Find out what bindings offer.

    Args:
        module: The module `tensorrt` or `tensorrt_rtx`.
    """
    return Features(**{
        feature: all(has_name(module, name) for name in names)
        for feature, names in OPTIONAL.items()
    })  # fmt: skip


def has_name(module: object, dotted: str) -> bool:
    """Whether a module has an attribute such as "LayerType.SOFTMAX"."""
    for part in dotted.split("."):
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return True
