"""Everything that decides what is in a plan: the key of the cache, and why a plan is stale."""

from __future__ import annotations

import hashlib
import json
from typing import Final

import msgspec

# Asked for, as against what the machine brings: plans that differ in these are different engines.
_ASKED: Final = (
    "model", "precision", "target", "batch", "version_compatible", "strip", "hardware_compat",
    "attention",
)  # fmt: skip
_WORDS: Final = {
    "onnx_sha256": "the network",
    "profile": "the graph profile",
    "backend": "the backend",
    "version": "its version",
    "capabilities": "compute capabilities",
    "device": "the GPU",
    "driver": "the driver",
    "plugins": "the plugins",
    "rewritten_sha256": "the network with our attention",
    "shapes": "pictures in a frame",
}


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is made from.

    Attributes:
        model: Name of the model.
        onnx_sha256: sha256 of the graph.
        precision: Types of its arithmetic, as `sdk.manifest.OnnxGraph` has them.
        profile: "compat" or "native-attention".
        target: What the user named.
        batch: Smallest, usual and largest number of frames at once.
        shapes: Pictures in one frame, by input; 1 where not named.
        backend: "tensorrt" or "tensorrt_rtx".
        version: Its exact version.
        capabilities: Compute capabilities; empty for the builder's default.
        device: The GPU that the plan is tied to; empty where it is tied to none.
        driver: That GPU's driver.
        version_compatible: Later TensorRT versions of the same major may run it.
        strip: Without weights.
        hardware_compat: Every GPU from Ampere on may run it.
        plugins: sha256 of each library.
        attention: "native", or "fused": our kernel computes it.
        rewritten_sha256: sha256 of the graph with our attention, and of kernels that the plan takes
            in; empty for native attention.
    """

    model: str
    onnx_sha256: str
    precision: str
    profile: str
    target: str
    batch: tuple[int, int, int]
    backend: str
    version: str
    shapes: dict[str, int] = {}
    capabilities: tuple[int, ...] = ()
    device: str = ""
    driver: str = ""
    version_compatible: bool = False
    strip: bool = False
    hardware_compat: bool = False
    plugins: tuple[str, ...] = ()
    attention: str = "native"
    rewritten_sha256: str = ""

    @property
    def key(self) -> str:
        """sha256 over every field."""
        fields = json.dumps(msgspec.to_builtins(self), sort_keys=True)
        return hashlib.sha256(fields.encode()).hexdigest()

    @property
    def entry(self) -> str:
        """Name of the plan's folder in the cache: readable, and the key's first digits."""
        return f"{self.model}-{self.precision}-{self.target}-{self.key[:12]}"

    def is_same_request(self, other: Recipe) -> bool:
        """Whether a user asked for the same thing, maybe on another machine or day."""
        return all(getattr(self, name) == getattr(other, name) for name in _ASKED)

    def changes(self, since: Recipe) -> str:
        """Say in words what has changed since another recipe of the same request."""
        return "; ".join(
            f"{words}: {_show(getattr(since, name))} before, {_show(getattr(self, name))} now"
            for name, words in _WORDS.items()
            if getattr(since, name) != getattr(self, name)
        )


def _show(value: object) -> str:
    if isinstance(value, str) and len(value) == 64:
        return f"{value[:12]}…"
    if isinstance(value, dict):
        value = tuple(f"{key} {item}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(_show, value)) or "none"
    return str(value) or "none"
