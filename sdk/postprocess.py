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
        outputs: float32 [1] `score`, `mos`, `sigma` and float32 [K] `distortions`, where present.
        manifest: Scales and labels.
        frame: How messages call the frame.

    Raises:
        BackendError: An output is NaN or infinite.
    """
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise BackendError(
                f"{manifest.id} computed {name} = {values.tolist()} for {frame}; allowed are "
                "finite numbers.",
                hint="Try precision='fp32' or another backend; verify the model: Scorer.verify().",
            )
    scale, mos = manifest.score, manifest.mos
    score = _clip(float(outputs["score"][0]), scale.min, scale.max)
    if "mos" in outputs:
        opinion = _clip(float(outputs["mos"][0]), mos.min, mos.max)
    else:
        share = (score - scale.min) / (scale.max - scale.min)
        opinion = mos.min + share * (mos.max - mos.min)
    sigma = max(0.0, float(outputs["sigma"][0])) if "sigma" in outputs else None
    probabilities = outputs["distortions"].tolist() if "distortions" in outputs else ()
    return Quality(
        score,
        opinion,
        sigma,
        dict(zip(manifest.distortion_labels, probabilities, strict=True)),
    )


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
