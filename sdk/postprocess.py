"""From a network's outputs to numbers that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sdk.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from sdk.manifest import Manifest


class Quality(NamedTuple):
    """What a network says about one frame; see `sdk.results.FrameScore` for the fields."""

    score: float
    mos: float
    sigma: float | None
    distortions: dict[str, float]


def read_outputs(
    outputs: Mapping[str, NDArray[np.float32]], manifest: Manifest, frame: str
) -> Quality:
    """Clip the outputs to the manifest's scales and name the distortions.

    A model without the output `mos` gets its score mapped linearly to the range of mos.

    Args:
        outputs: Those that the manifest names: float32 [1] `score`, `mos`, `sigma`, and float32
            [K] `distortions`.
        manifest: Scales and labels.
        frame: How messages call the frame.

    Raises:
        BackendError: An output is NaN or infinite.
    """
    values = {name: outputs[name] for name in manifest.outputs}
    for name, numbers in values.items():
        if not np.isfinite(numbers).all():
            raise BackendError(
                f"{manifest.id} computed {name} = {numbers.tolist()} for {frame}; allowed are "
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
    return Quality(
        score,
        opinion,
        sigma=max(0.0, float(values["sigma"][0])) if "sigma" in values else None,
        distortions=_named(values["distortions"], manifest) if "distortions" in values else {},
    )


def _named(probabilities: NDArray[np.float32], manifest: Manifest) -> dict[str, float]:
    return dict(zip(manifest.distortion_labels, probabilities.tolist(), strict=True))


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
