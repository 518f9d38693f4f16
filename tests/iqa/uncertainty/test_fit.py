from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from iqa.uncertainty.calibration import sigma_of
from iqa.uncertainty.fit import FitSettings, fit_head
from iqa.uncertainty.report import attribution_report
from iqa.uncertainty.samples import Samples
from iqa.uncertainty.stage import OURS, fit_and_judge
from tests.iqa.uncertainty.conftest import GROUPS, made_up, true_sigma


@pytest.fixture(scope="module")
def shares() -> dict[str, Samples]:
    return {name: made_up(300, seed) for seed, name in enumerate(("fit", "calibrate", "report"))}


def test_sigma_follows_the_true_spread(shares: dict[str, Samples]) -> None:
    sigma = sigma_of(fit_head(shares["fit"], 1 + GROUPS, FitSettings()), shares["report"])
    assert np.corrcoef(sigma, true_sigma(shares["report"]))[0, 1] > 0.8


def test_each_cause_grows_under_its_own_fault_alone(shares: dict[str, Samples]) -> None:
    decoupled = fit_head(shares["fit"], 1 + GROUPS, FitSettings())
    free = fit_head(shares["fit"], 1 + GROUPS, FitSettings(consistency=0, decoupling=0))
    report = dataclasses.replace(shares["report"], opinion=np.full(1800, 40, np.float32))
    right = attribution_report(report, decoupled)["right"]["value"]
    assert right > 0.9
    assert attribution_report(report, free)["right"]["value"] < right - 0.1
    with torch.inference_mode():
        clean = decoupled(torch.from_numpy(report.hidden[:: len(report) // 300]))
    assert float(clean[:, 0].mean()) > float(clean[:, 1:].max(dim=1).values.mean())


def test_the_whole_stage_is_calibrated_and_better_than_one_sigma(
    shares: dict[str, Samples],
) -> None:
    head, found = fit_and_judge(shares, FitSettings())
    assert head.fitted
    assert 0.88 <= found["coverage"][OURS]["90%"]["value"] <= 0.92
    assert found["likelihood"][OURS]["against_first"]["interval95"][1] < 0
    assert found["likelihood"]["one sigma for all"]["against_first"]["value"] == 0
    early = found["coverage"]["sigma of the first stage"]["90%"]["value"]
    assert early < 0.7  # 3 points, where the errors are 4 to 20


def test_a_fit_is_the_same_again(shares: dict[str, Samples]) -> None:
    first, second = (fit_head(shares["report"], 6, FitSettings(steps=20)) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
