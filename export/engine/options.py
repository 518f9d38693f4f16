"""What a build may be asked beside precision and target, and what of it a backend refuses."""

from __future__ import annotations

from typing import Final

import msgspec

from export.engine.api import Toolkit
from export.engine.gpu import find_gpu
from sdk.errors import UsageError

NATIVE: Final = "native"
FUSED: Final = "fused"
AUTO: Final = "auto"
MODES: Final = (NATIVE, FUSED, AUTO)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a build.

    Attributes:
        batch: Numbers of frames at once: one, or smallest and largest, or the usual one between.
        timing_cache: File with the builder's measurements.
        version_compatible: Let later versions of the same major run the plan.
        strip: Leave the weights out.
        hardware_compat: Let every GPU from Ampere on run the plan.
        plugins: Libraries with operators.
        cache: Take the plan from the cache if it is there, and keep it there.
        allow_w8a8: Build INT8 activations on TensorRT-RTX too, to see that they parse; no plan to
            rely on.
        attention: "native", TensorRT's own, or "fused", ours.
    """

    batch: tuple[int, ...] = (1,)
    timing_cache: str | None = None
    version_compatible: bool = False
    strip: bool = False
    hardware_compat: bool = False
    plugins: tuple[str, ...] = ()
    cache: bool = True
    allow_w8a8: bool = False
    attention: str = NATIVE


def frame_range(batch: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the smallest, usual and largest batch; of two, the larger is the usual one.

    Args:
        batch: One to three numbers.

    Raises:
        UsageError: They cannot be batches.
    """
    ordered = tuple(sorted(set(batch)))
    if not 1 <= len(ordered) <= 3 or ordered[0] < 1:
        raise UsageError(
            f"A batch of {', '.join(map(str, batch)) or 'nothing'} cannot be built.",
            hint="Give one to three numbers from 1 on: smallest, usual, largest.",
        )
    usual = ordered[1] if len(ordered) == 3 else ordered[-1]
    return ordered[0], usual, ordered[-1]


def check_options(toolkit: Toolkit, options: Options) -> None:
    """Refuse what the backend would ignore or fail on late; TensorRT-RTX was tried with 1.7.1.

    Args:
        toolkit: The TensorRT that will build.
        options: What is asked for.

    Raises:
        UsageError: It means nothing to the backend; the message says why.
    """
    if options.attention not in (NATIVE, FUSED):
        raise UsageError(
            f"There is no attention {options.attention!r} for one plan.",
            hint=f"There are {', '.join(MODES)}; auto needs a bundle and its frames.",
        )
    if not toolkit.features.plugins and options.attention == FUSED:
        raise UsageError(
            f"{toolkit.name} takes no plugins, so that it cannot have our attention.",
            hint="Use --attention native: it fuses attention in FP16 and BF16 by itself.",
        )
    if not toolkit.features.plugins and options.plugins:
        raise UsageError(
            f"{toolkit.name} takes no plugins: its networks have no layer for them.",
            hint="Use the native attention of the graph, or build with TensorRT.",
        )
    if not toolkit.features.ahead_of_time:
        return
    if options.strip and find_gpu() is None:
        raise UsageError(
            f"{toolkit.name} strips weights only where there is a GPU: it compiles for refitting "
            "there, while other plans are built by the CPU.",
            hint="Leave out --strip, or build on a machine with a GPU.",
        )
    refusals = {
        "--timing-cache": (options.timing_cache, "it times no kernels when it builds"),
        "--version-compatible": (
            options.version_compatible,
            "it has no lean runtime to put into the plan",
        ),
        "--hardware-compat": (
            options.hardware_compat,
            "its plans run on every capability they are built for; name them with --target",
        ),
    }
    for option, (wanted, reason) in refusals.items():
        if wanted:
            raise UsageError(f"{option} means nothing to {toolkit.name}: {reason}.")
