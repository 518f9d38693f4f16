"""What a build is asked and what it answers: messages between caller and builder process."""

from __future__ import annotations

import msgspec

from export.attention_plugin import AttentionKernel
from export.engine.plan import Built, TensorInfo


class Job(msgspec.Struct, frozen=True, kw_only=True, tag="build"):
    """One build.

    Attributes:
        backend: "tensorrt" or "tensorrt_rtx".
        graph: The ONNX file to read.
        plan: The plan to write.
        log: The file that messages are added to.
        capabilities: Compute capabilities to build for; empty for the builder's default.
        batch: Smallest, usual and largest number of frames.
        pictures: Pictures in one frame, by input; 1 where not named.
        version_compatible: Let later versions of the same major run the plan.
        strip: Leave the weights out.
        hardware_compat: Let every GPU from Ampere on run the plan.
        plugins: Libraries to load and to put into the plan.
        timing_cache: File with the builder's measurements, read if it is there, written after.
        allow_w8a8: Build quantised activations on TensorRT-RTX too.
        kernels: Attention kernels that the graph's quick plugins take into the plan.
        own_attention: Nodes of the graph that are our attention.
    """

    backend: str
    graph: str
    plan: str
    log: str
    batch: tuple[int, int, int] = (1, 1, 1)
    pictures: dict[str, int] = {}
    capabilities: tuple[int, ...] = ()
    version_compatible: bool = False
    strip: bool = False
    hardware_compat: bool = False
    plugins: tuple[str, ...] = ()
    timing_cache: str = ""
    allow_w8a8: bool = False
    kernels: tuple[AttentionKernel, ...] = ()
    own_attention: tuple[str, ...] = ()


class Trial(msgspec.Struct, frozen=True, kw_only=True, tag="trial"):
    """An engine to run on this machine's GPU.

    Attributes:
        backend: "tensorrt" or "tensorrt_rtx".
        plan: The plan.
        tensors: Its inputs and outputs.
        frames: File of the frames to score: uint8 arrays called "NUMBER/INPUT".
        log: The file that messages are added to.
        runs: How often to time it.
        warm_up: Runs before them.
    """

    backend: str
    plan: str
    tensors: tuple[TensorInfo, ...]
    frames: str
    log: str
    runs: int = 300
    warm_up: int = 50


class Step(msgspec.Struct, frozen=True, tag="step"):
    """How far a build is: see `export.progress.Progress`."""

    stage: str
    done: int
    total: int


class Note(msgspec.Struct, frozen=True, tag="note"):
    """Something the user should know of a build that goes on."""

    text: str


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """Why a build failed: a message and hint of `sdk.errors`, and whether it is the user's to fix.

    Attributes:
        message: What happened.
        hint: What to do.
        usage: It is a `UsageError`, else a `BackendError`.
    """

    message: str
    hint: str
    usage: bool


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured"):
    """What an engine gave and took on this machine.

    Attributes:
        scores: Of the frames.
        milliseconds: Of each run of the whole network on the GPU, without copies.
    """

    scores: tuple[float, ...]
    milliseconds: tuple[float, ...]


Message = Step | Note | Failure | Built | Measured
