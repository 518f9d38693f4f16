"""The packaged model on pictures whose order of quality is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sdk import Scorer
from sdk.bundle import Bundle
from sdk.demo.degradations import DEGRADATIONS
from sdk.demo.photographs import load_photograph


@pytest.fixture(scope="module")
def scorer(default_bundle: Bundle) -> Iterator[Scorer]:
    with Scorer(default_bundle, precision="fp32") as opened:
        yield opened


def test_golden_scores_are_met_here(scorer: Scorer) -> None:
    assert scorer.verify() < 0.01  # points


@pytest.mark.parametrize("name", sorted(DEGRADATIONS))
def test_score_falls_as_a_fault_grows(scorer: Scorer, name: str) -> None:
    pytest.importorskip("skimage", reason="needs the photographs of the extra `report`")
    for photograph in ("coffee.png", "astronaut.png", "chelsea.png"):
        clean = load_photograph(photograph)
        frames = [
            DEGRADATIONS[name](clean, strength, np.random.default_rng(1))
            for strength in (0.0, 0.5, 1.0)
        ]
        scores = [result.score for result in scorer.score_batch(frames)]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] - scores[-1] > 20


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("carphone_pristine.mp4", "carphone_distorted.mp4"),
        ("konvid_10053703034.mp4", "konvid_5115335471.mp4"),
    ],
)
def test_the_better_clip_scores_higher(
    scorer: Scorer, shared_data: Path, better: str, worse: str
) -> None:
    means = [
        np.mean([result.score for result in scorer.stream(shared_data / "video" / name, every=20)])
        for name in (better, worse)
    ]
    assert means[0] > means[1] + 10
