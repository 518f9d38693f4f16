from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from iqa.scenes.fit import LOSSES, FitSettings, fit_head
from iqa.scenes.labels import as_matrix
from iqa.scenes.stage import accuracies, auc, commonest, fit_and_judge, folds_of, hits, parts_of
from sdk.errors import UsageError

from .conftest import WIDTH, made_up

FEW = FitSettings(steps=60)


@pytest.mark.parametrize("loss", list(LOSSES))
def test_a_scene_that_a_feature_tells_is_found_on_photographs_left_out(loss: str) -> None:
    samples, scenes = made_up(60, signal=6)
    settings = dataclasses.replace(FEW, loss=loss)
    head, found = fit_and_judge(samples, scenes, settings, 3, 0, unseen=["000.png", "001.png"])
    assert found["accuracy"]["all"]["value"] > 0.97
    assert found["majority"]["all"]["value"] < 0.6
    assert found["gain"]["all"]["interval95"][0] > 0.3
    assert found["ways"][f"hidden, {loss}"]["value"] < 0.65  # nothing to learn there
    counts = {part: row["n"] for part, row in found["accuracy"].items()}
    assert counts == {"all": 240, "clean": 60, "distorted": 180, "unseen": 8}
    posterior = head(torch.from_numpy(samples.context))
    assert ((posterior[:, 1] > 0.5).numpy() == (samples.context[:, 0] > 3)).mean() > 0.95


def test_photographs_without_a_signal_gain_nothing() -> None:
    """A head that had seen them would: 8 features of 12 photographs can be learnt by heart."""
    samples, scenes = made_up(12, signal=0)
    head, found = fit_and_judge(samples, scenes, FEW, folds=4, seed=0)
    labels = as_matrix([scenes[name] for name in samples.content], ("a", "b"))
    with torch.inference_mode():
        seen = hits(head(torch.from_numpy(samples.context)).numpy(), labels)
    assert found["accuracy"]["all"]["value"] < seen.mean()
    low, high = found["gain"]["all"]["interval95"]
    assert low < 0.2
    assert high - low > 0.1


def test_frames_of_a_photograph_share_a_fold_and_folds_are_even() -> None:
    content = np.repeat([f"{n}" for n in range(10)], 4)
    fold = folds_of(content, 5, 0)
    assert all(len(set(fold[content == name])) == 1 for name in content)
    assert np.bincount(fold).tolist() == [8] * 5
    assert (folds_of(content, 5, 1) != fold).any()


def test_fewer_photographs_than_folds() -> None:
    with pytest.raises(UsageError, match="3 photographs with scenes for 5 folds"):
        folds_of(np.array(["a", "b", "c", "c"]), 5, 0)


def test_the_commonest_scene_is_named_throughout() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
    assert hits(commonest(labels), labels).tolist() == [0, 0, 1, 1, 1]


def test_auc_counts_pairs_and_halves_ties() -> None:
    probability = np.array([0.9, 0.4, 0.4, 0.1], np.float32)
    assert auc(probability, np.array([True, True, False, False])) == 0.875
    assert auc(probability, np.array([False, False, False, True])) == 0
    assert auc(probability, np.full(4, True)) is None


def test_any_scene_that_a_photograph_shows_is_right() -> None:
    labels = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 0]], np.float32)
    assert hits(np.eye(3, dtype=np.float32), labels).tolist() == [1, 1, 0]


def test_intervals_are_over_photographs() -> None:
    samples, _ = made_up(40, signal=0)
    right = (np.arange(len(samples)) // 4 % 2).astype(np.float64)  # all frames of one alike
    parts = parts_of(samples, [])
    by_photograph = accuracies(samples, right, parts, 0)["all"]["interval95"]
    mixed = accuracies(samples, (np.arange(len(samples)) % 2).astype(float), parts, 0)["all"]
    assert by_photograph[1] - by_photograph[0] > 0.15
    assert mixed["interval95"] == [0.5, 0.5]


def test_a_constant_feature_does_no_harm() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((40, WIDTH)).astype(np.float32)
    features[:, 3] = 7
    labels = np.stack([features[:, 0] > 0, features[:, 0] <= 0], axis=1).astype(np.float32)
    head = fit_head(features, labels, FEW)
    assert all(torch.isfinite(value).all() for value in head.parameters())
    assert hits(head(torch.from_numpy(features)).numpy(), labels).mean() > 0.9
