from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from iqa.models.uncertainty_head import UncertaintyHead
from iqa.uncertainty.calibration import (
    calibrated,
    constant_sigma,
    coverage,
    sigma_of,
    temperature,
)
from iqa.uncertainty.samples import Samples
from tests.iqa.uncertainty.conftest import WIDTH, made_up, true_sigma


def test_coverage_counts_opinions_without_drawing_them() -> None:
    samples = dataclasses.replace(made_up(50, 0), deviation=np.full(300, 9, np.float32))
    sigma = true_sigma(samples)
    rng = np.random.default_rng(1)
    drawn = samples.opinion + 9 * rng.standard_normal((20_000, len(samples)))
    inside = np.abs(drawn - samples.score) <= 1.2816 * sigma
    np.testing.assert_allclose(coverage(samples, sigma, 0.8), inside.mean(axis=0), atol=0.02)


def test_the_true_sigma_covers_what_it_promises() -> None:
    samples = made_up(3000, 0)
    for level in (0.5, 0.8, 0.9):
        assert coverage(samples, true_sigma(samples), level).mean() == pytest.approx(
            level, abs=0.01
        )


def test_temperature_undoes_a_wrong_scale() -> None:
    samples = made_up(1000, 0)
    head = UncertaintyHead(WIDTH, 1)
    torch.nn.init.constant_(head.bias, math.log(1e-4))  # 1 point for every frame
    found = calibrated(head, samples)
    assert temperature(head, found) == pytest.approx(constant_sigma(samples) ** 2, rel=0.02)
    rated = samples.where(samples.rated)
    assert coverage(rated, sigma_of(found, rated), 0.9).mean() == pytest.approx(0.9, abs=0.002)
    assert float(head.bias) == pytest.approx(math.log(1e-4))


def test_frames_nobody_rated_do_not_decide() -> None:
    samples = made_up(200, 0)
    score = np.where(samples.rated, samples.score, samples.opinion + 90)
    moved: Samples = dataclasses.replace(samples, score=score.astype(np.float32))
    assert constant_sigma(moved) == constant_sigma(samples)


def test_kept_weights_are_what_fp16_leaves() -> None:
    head = UncertaintyHead(WIDTH, 2)
    torch.nn.init.normal_(head.weight)
    for value in calibrated(head, made_up(50, 0)).parameters():
        assert torch.equal(value, value.half().float())
