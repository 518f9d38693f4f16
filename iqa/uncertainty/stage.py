"""The second stage as a whole: fit, calibrate, judge, and say when not to trust a score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from iqa.models.glint_edge import UNCERTAINTY_LABELS
from iqa.models.uncertainty_head import UncertaintyHead
from iqa.uncertainty.abstain import abstain_above, abstain_report
from iqa.uncertainty.calibration import calibrated, constant_sigma, sigma_of, temperature
from iqa.uncertainty.fit import FitSettings, fit_head
from iqa.uncertainty.report import (
    attribution_report,
    coverage_report,
    likelihood_report,
    parts_report,
)
from iqa.uncertainty.samples import Samples

OURS = "beta-NLL"


def fit_and_judge(
    samples: Mapping[str, Samples], settings: FitSettings
) -> tuple[UncertaintyHead, dict[str, Any]]:
    """A calibrated head, and what it and the other ways to say sigma are worth.

    Args:
        samples: Of :data:`iqa.uncertainty.shares.SHARES`, by name.
        settings: Of the fit.
    """
    fit, calibrate, report = (samples[name] for name in ("fit", "calibrate", "report"))
    causes = len(UNCERTAINTY_LABELS)
    raw = fit_head(fit, causes, settings)
    head = calibrated(raw, calibrate)
    plain = dataclasses.replace(settings, beta=0.0)
    free = dataclasses.replace(settings, consistency=0.0, decoupling=0.0)
    undivided = calibrated(fit_head(fit, causes, free), calibrate)
    sigmas = {
        "one sigma for all": np.full(len(report), constant_sigma(calibrate)),
        OURS: sigma_of(head, report),
        "plain NLL": sigma_of(calibrated(fit_head(fit, causes, plain), calibrate), report),
        "without decoupling": sigma_of(undivided, report),
        "sigma of the first stage": report.old_sigma.astype(np.float64),
    }
    limit = abstain_above(sigma_of(head, calibrate), calibrate)
    return head, {
        "labels": list(UNCERTAINTY_LABELS),
        "settings": dataclasses.asdict(settings),
        "frames": {name: len(some) for name, some in samples.items()},
        "contents": {name: len(np.unique(some.content)) for name, some in samples.items()},
        "temperature": round(temperature(raw, head), 4),
        "abstain_above": limit,
        "abstain": abstain_report(report, sigmas[OURS], limit),
        "coverage": {name: coverage_report(report, sigma) for name, sigma in sigmas.items()},
        "coverage_with_halves_swapped": coverage_report(
            calibrate, sigma_of(calibrated(raw, report), calibrate)
        ),
        "likelihood": likelihood_report(report, sigmas),
        "attribution": attribution_report(report, head),
        "attribution_without_decoupling": attribution_report(report, undivided)["right"],
        "parts": parts_report(report, head),
    }
