"""From which sigma on a score should not be trusted; the rule is ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from iqa.uncertainty.fit import expected_square
from iqa.uncertainty.samples import Samples

FEWEST = 0.05  # of the frames: what fewer of them show is chance

Floats = NDArray[np.float64]


def abstain_above(sigma: Floats, samples: Samples) -> float:
    """The sigma above which people's mean opinion is a better guess than the score.

    Of all limits it is the one that costs least over rated frames, in square points, if frames
    above it are given their common mean opinion instead of their scores. Where no limit gains
    anything, the largest sigma of all: then only frames less sure than any seen are left to doubt.

    Args:
        sigma: Of each score, ``[N]`` points.
        samples: Held-out frames.

    Returns:
        The limit, to a tenth of a point.
    """
    error, opinion, own = _rated(samples)
    sigma = sigma[samples.rated]
    order = np.argsort(-sigma, kind="stable")
    count = np.arange(1, len(order) + 1)
    mean, square = (np.cumsum(v[order]) / count for v in (opinion, opinion**2 + own))
    gain = np.cumsum(error[order]) - count * (square - mean**2)
    gain[count < FEWEST * len(order)] = 0
    best = int(gain.argmax())
    if gain[best] <= 0 or best + 1 == len(order):
        return round(float(sigma.max()), 1)
    return round(float(sigma[order[best + 1]]), 1)


def abstain_report(samples: Samples, sigma: Floats, limit: float) -> dict[str, Any]:
    """Share of rated frames left without a trusted score; error and told variance of both kinds."""
    error, opinion, own = _rated(samples)
    above = sigma[samples.rated] > limit
    out: dict[str, Any] = {"share": round(float(above.mean()), 4)}
    for name, some in (("trusted", ~above), ("not_trusted", above)):
        if some.any():
            variance = opinion[some].var() + own[some].mean()
            out[name] = {
                "n": int(some.sum()),
                "rmse": round(float(np.sqrt(error[some].mean())), 2),
                "share_of_variance_told": round(float(1 - error[some].mean() / variance), 3),
            }
    return out


def _rated(samples: Samples) -> tuple[Floats, Floats, Floats]:
    """Expected square error, mean opinion and its own variance, of rated frames."""
    some = samples.where(samples.rated)
    square = expected_square(some).numpy().astype(np.float64)
    return square, some.opinion.astype(np.float64), some.deviation.astype(np.float64) ** 2
