"""What the uncertainty is worth on contents that neither network nor head nor temperature saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iqa.bootstrap import mean_of
from iqa.models.uncertainty_head import UncertaintyHead
from iqa.uncertainty.calibration import coverage
from iqa.uncertainty.causes import GROUPS, membership
from iqa.uncertainty.fit import expected_square
from iqa.uncertainty.losses import gaussian_nll
from iqa.uncertainty.samples import Samples

LEVELS = (0.5, 0.8, 0.9)
VISIBLE = 4.0  # mean opinion, MOS points, below which a fault is plain to see

Floats = NDArray[np.float64]


def coverage_report(samples: Samples, sigma: Floats) -> dict[str, Any]:
    """Coverage of 50, 80 and 90 % intervals over rated frames, with 95 % intervals over contents
    and the range over single contents.
    """
    rated = samples.rated
    some, sigma = samples.where(rated), sigma[rated]
    out: dict[str, Any] = {"n": len(some), "contents": len(np.unique(some.content))}
    for level in LEVELS:
        inside = coverage(some, sigma, level)
        by_content = [float(inside[some.content == c].mean()) for c in np.unique(some.content)]
        out[f"{level:.0%}"] = {
            **mean_of(inside, some.content),
            "contents_from": round(min(by_content), 4),
            "contents_to": round(max(by_content), 4),
        }
    out["90% of the settings' means"] = mean_of(
        (np.abs(some.score - some.opinion) <= 1.645 * sigma).astype(float), some.content
    )
    return out


def likelihood_report(samples: Samples, sigmas: Mapping[str, Floats]) -> dict[str, Any]:
    """Mean negative log-likelihood in nats of each way to say sigma, and its difference from the
    first with a 95 % interval over contents; lower is better.
    """
    rated = samples.rated
    some = samples.where(rated)
    square = expected_square(some)
    values = {
        name: gaussian_nll(torch.from_numpy(s[rated]).float() ** 2, square).double().numpy()
        for name, s in sigmas.items()
    }
    base = next(iter(values.values()))
    return {
        name: {**mean_of(v, some.content), "against_first": mean_of(v - base, some.content)}
        for name, v in values.items()
    }


def attribution_report(samples: Samples, head: UncertaintyHead) -> dict[str, Any]:
    """How often the largest cause is the group of the fault that a frame was given.

    Plainly visible faults of one group count; beside it stands the same share for the network's
    own posterior over distortions, summed over groups.
    """
    one = (samples.groups.sum(axis=1) == 1) & (samples.opinion < 25 * (VISIBLE - 1))
    some = samples.where(one)
    with torch.inference_mode():
        parts = head(torch.from_numpy(some.hidden)).numpy()[:, 1:]
    given, named = some.groups.argmax(axis=1), parts.argmax(axis=1)
    posterior = (some.posterior @ membership()).argmax(axis=1)
    table = {
        group: {
            "n": int((given == k).sum()),
            **mean_of((named == k)[given == k].astype(float), some.content[given == k]),
            "named": {g: int(((given == k) & (named == i)).sum()) for i, g in enumerate(GROUPS)},
        }
        for k, group in enumerate(GROUPS)
    }
    return {
        "n": len(some),
        "right": mean_of((named == given).astype(float), some.content),
        "right_by_posterior": mean_of((posterior == given).astype(float), some.content),
        "by_group": table,
    }


def parts_report(samples: Samples, head: UncertaintyHead) -> dict[str, Any]:
    """Mean standard deviation of each part in points, on clean frames and under each fault."""
    with torch.inference_mode():
        parts = head(torch.from_numpy(samples.hidden)).numpy()
    clean = samples.rated & ~samples.groups.any(axis=1) & (samples.clean == np.arange(len(samples)))
    rows = {"clean": clean} | {
        g: samples.groups[:, k] & (samples.groups.sum(axis=1) == 1) for k, g in enumerate(GROUPS)
    }
    return {
        name: [round(float(v), 2) for v in parts[chosen].mean(axis=0)]
        for name, chosen in rows.items()
        if chosen.any()
    }
