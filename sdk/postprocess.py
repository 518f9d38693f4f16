"""From a network's outputs to numbers that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from sdk.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sdk.manifest import Manifest


_FEW: Final = 32  # numbers that a message may hold


class Quality(NamedTuple):
    """What a network says about one frame; see `sdk.results.FrameScore` for the fields."""

    score: float
    mos: float
    sigma: float | None
    distortions: dict[str, float]
    uncertainty: dict[str, float]
    abstain: bool
    features: NDArray[np.float32] | None
    scenes: dict[str, float]


def read_outputs(
    outputs: Mapping[str, NDArray[np.float32]], manifest: Manifest, frame: str
) -> Quality:
    """Clip the outputs to the manifest's scales and name distortions, causes and scenes.

    A model without the output `mos` gets its score mapped linearly to the range of mos.

    Args:
        outputs: Those that the manifest names: float32 [1] `score`, `mos`, `sigma`, and float32
            [K] `distortions`, `uncertainty`, `scenes` and, if the backend was asked for it,
            `features`.
        manifest: Scales and labels.
        frame: How messages call the frame.

    Raises:
        BackendError: An output is NaN or infinite.
    """
    values: dict[str, NDArray[np.float32]] = {
        name: outputs[name] for name in manifest.outputs if name in outputs
    }
    for name, numbers in values.items():
        if not np.isfinite(numbers).all():
            raise BackendError(
                f"{manifest.id} computed {name} = {_shown(numbers)} for {frame}; allowed are "
                "finite numbers.",
                hint="Try precision='fp32' or another backend; verify the model: Scorer.verify().",
            )
    scale, mos = manifest.score, manifest.mos
    score = _clip(float(values["score"][0]), scale.min, scale.max)
    if "mos" in values:
        opinion = _clip(float(values["mos"][0]), mos.min, mos.max)
    else:
        share = (score - scale.min) / (scale.max - scale.min)
        opinion = mos.min + share * (mos.max - mos.min)
    sigma = max(0.0, float(values["sigma"][0])) if "sigma" in values else None
    limit = manifest.abstain_above
    return Quality(
        score,
        opinion,
        sigma,
        abstain=limit is not None and sigma is not None and sigma > limit,
        features=values.get("features"),
        **{name: _named(values.get(name), labels) for name, labels in manifest.labels.items()},
    )


def _named(numbers: NDArray[np.float32] | None, labels: Sequence[str]) -> dict[str, float]:
    return {} if numbers is None else dict(zip(labels, numbers.tolist(), strict=True))


def _shown(numbers: NDArray[np.float32]) -> str:
    """The numbers, or of many only the first that is not finite."""
    if numbers.size <= _FEW:
        return str(numbers.tolist())
    position = int(np.flatnonzero(~np.isfinite(numbers))[0])
    return f"[…, {numbers[position]}, …] (entry {position} of {numbers.size})"


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
