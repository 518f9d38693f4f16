from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from iqa import losses
from iqa.data.features import SHAPES, Features
from iqa.data.store import Store
from iqa.models.glint_edge import DISTORTION_LABELS, GlintEdge
from iqa.recipe import Recipe
from iqa.train import Batches, Trainer, fit, learning_rate

SAMPLES = 32
RECIPE = Path(__file__).parents[2] / "iqa/recipes/glint_edge.toml"


@pytest.fixture
def recipe() -> Recipe:
    shipped = Recipe.read(RECIPE)
    return msgspec.structs.replace(
        shipped, steps=4, warmup=1, batch_groups=2, blocks=1, save_every=2, log_every=1
    )


@pytest.fixture(scope="module")
def data() -> tuple[Store, Features]:
    """Random features in which quality shows as a bias: something to learn."""
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, SAMPLES).astype(np.float32)
    maps = [
        (rng.standard_normal((SAMPLES, side, side, channels)) + mos[:, None, None, None]).astype(
            np.float16
        )
        for channels, side in SHAPES.values()
    ]
    causes = np.zeros((SAMPLES, len(DISTORTION_LABELS)), np.float32)
    causes[:, 0] = 1
    empty = np.zeros((SAMPLES, 0), np.uint8)
    return Store(empty, empty, mos, np.ones(SAMPLES, np.float32), causes), Features(*maps)


def trainer(recipe: Recipe) -> Trainer:
    torch.manual_seed(0)
    return Trainer(GlintEdge(recipe.blocks, recipe.mlp_ratio), recipe)


def test_killed_and_resumed_equals_uninterrupted(
    recipe: Recipe, data: tuple[Store, Features], tmp_path: Path
) -> None:
    batches = Batches(*data, recipe.batch_groups, recipe.seed)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    straight = trainer(recipe)
    fit(straight, batches, whole)
    fit(trainer(recipe), batches, parts, until=2)
    with (parts / "log.csv").open("a") as log:
        log.write("3,0.5,0,0,0,0,0,1.0\n")  # a step past the checkpoint, lost with the process
    resumed = trainer(recipe)
    fit(resumed, batches, parts)
    assert resumed.step == straight.step == recipe.steps
    for name, value in straight.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[name]), name
    steps = [row.split(",")[0] for row in (parts / "log.csv").read_text().splitlines()]
    assert steps == ["step", "1", "2", "3", "4"]


def test_training_lowers_the_loss_and_leaves_the_trunk(
    recipe: Recipe, data: tuple[Store, Features]
) -> None:
    recipe = msgspec.structs.replace(recipe, steps=30)
    run = trainer(recipe)
    before = {k: v.clone() for k, v in run.model.trunk.state_dict().items()}
    batches = Batches(*data, recipe.batch_groups, recipe.seed)
    errors = [run.update(batches[step])["regression"] for step in range(25)]
    assert np.mean(errors[-5:]) < 0.7 * np.mean(errors[:5])
    for name, value in run.model.trunk.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_epoch_visits_every_group_once(data: tuple[Store, Features]) -> None:
    batches = Batches(*data, 2, 3)
    seen = np.concatenate([batches.rows(step) for step in range(batches.per_epoch)])
    assert sorted(seen) == list(range(SAMPLES))
    assert not np.array_equal(batches.rows(0), batches.rows(batches.per_epoch))


def test_learning_rate_rises_stays_and_falls(recipe: Recipe) -> None:
    recipe = msgspec.structs.replace(recipe, steps=1000, warmup=100, decay_share=0.3)
    rates = [learning_rate(step, recipe) for step in (0, 99, 500, 850, 999)]
    assert rates == pytest.approx([0.01, 1, 1, 0.5, 1 / 300])


def test_ranking_prefers_the_right_order() -> None:
    target, weight, group = torch.tensor([0.9, 0.5, 0.1]), torch.ones(3), torch.zeros(3)
    right = losses.ranking(torch.tensor([0.8, 0.5, 0.2]), target, weight, group)
    wrong = losses.ranking(torch.tensor([0.2, 0.5, 0.8]), target, weight, group)
    assert right < wrong


def test_weak_labels_are_compared_inside_their_group_only() -> None:
    target, weight = torch.tensor([0.9, 0.1, 0.5]), torch.tensor([0.25, 0.25, 1.0])
    pairs = losses.comparable(target, weight, torch.tensor([0, 0, 1]))
    assert pairs.nonzero().tolist() == [[0, 1]]


def test_correlation_loss_is_zero_for_a_line() -> None:
    target = torch.tensor([0.1, 0.4, 0.9])
    assert float(losses.correlation(2 * target + 1, target, torch.ones(3))) == pytest.approx(
        0, abs=1e-4
    )
    assert float(losses.correlation(-target, target, torch.ones(3))) == pytest.approx(2, abs=1e-4)


def test_spread_is_lowest_at_the_true_variance() -> None:
    quality, target = torch.zeros(2), torch.tensor([0.25, -0.25])  # errors of 1 MOS point
    values = [
        float(losses.spread(quality, torch.full((2,), v), target, torch.ones(2)))
        for v in (-1.0, 0.0, 1.0)
    ]
    assert values[1] == min(values)


def test_unknown_recipe_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.read_text().replace("seed =", "sead = 1\nseed ="))
    with pytest.raises(msgspec.ValidationError, match="sead"):
        Recipe.read(path)
