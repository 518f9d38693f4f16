"""An engine, and what is known of it: the sidecar of its plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from export.engine.fusion import Fusion
from export.engine.recipe import Recipe

SCHEMA_VERSION = 1


class TensorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output of an engine.

    Attributes:
        name: Its name.
        mode: "input" or "output".
        type: Its element type, as numpy calls it.
        shape: Its shape; -1 where it is free.
        shapes: Smallest, usual and largest shape of a free one.
    """

    name: str
    mode: str
    type: str
    shape: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...] = ()


class Built(msgspec.Struct, frozen=True, kw_only=True, tag="built"):
    """What the builder knows of a plan that it made.

    Attributes:
        tensors: Inputs, then outputs.
        layers: Layers of the network that was parsed.
        fusion: What became of its attention.
        seconds: How long parsing and building took.
    """

    tensors: tuple[TensorInfo, ...]
    layers: int
    fusion: Fusion
    seconds: float


class PlanInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The sidecar of a plan.

    Attributes:
        recipe: What it was made from.
        built: What the builder said.
        sha256: Of the plan.
        size: Of the plan, in bytes.
        created: When it was built, ISO 8601 in UTC.
        schema_version: Version of this structure.
    """

    recipe: Recipe
    built: Built
    sha256: str
    size: int
    created: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Engine:
    """A plan, which TensorRT's runtime or trtexec can load as it is, and what is known of it.

    Attributes:
        plan: Its bytes, without any prefix.
        info: What it was made from and what is in it.
        path: Where it lies; None if it was not kept.
        log: The builder's messages; None if they were not kept.
        from_cache: It was there already.
        choice: Why it has the attention that it has, where that was to be found out.
    """

    plan: bytes = field(repr=False)
    info: PlanInfo
    path: Path | None = None
    log: Path | None = None
    from_cache: bool = False
    choice: str = ""

    @property
    def attention(self) -> str:
        """Whose attention it has: "native" or "fused"."""
        return self.info.recipe.attention

    @property
    def backend(self) -> str:
        """The runtime that it is for: "tensorrt" or "tensorrt_rtx"."""
        return self.info.recipe.backend

    @property
    def precision(self) -> str:
        """Types of its arithmetic."""
        return self.info.recipe.precision

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """Its inputs."""
        return tuple(tensor for tensor in self.info.built.tensors if tensor.mode == "input")

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """Its outputs."""
        return tuple(tensor for tensor in self.info.built.tensors if tensor.mode == "output")

    @property
    def fusion(self) -> Fusion:
        """What became of its attention."""
        return self.info.built.fusion

    @property
    def seconds(self) -> float:
        """How long it took to build."""
        return self.info.built.seconds
