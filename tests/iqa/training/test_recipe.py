from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from iqa.cli.train import RECIPES
from iqa.models.glintiqa import GlintIQA
from iqa.qfm.schedule import Schedule as DeiqtSchedule
from iqa.training.networks import freeze
from iqa.training.recipe import Recipe
from iqa.training.schedule import Clock, Cosine, Cycle, Trapezoid
from sdk.errors import SourceError, UsageError

from .conftest import NOISE, Write

SHIPPED = sorted(RECIPES.glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_read_and_say_whose_choices_they_are(path: Path) -> None:
    Recipe.read(path)
    assert "ours" in path.read_text() or "our choice" in path.read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seed =", "sead =", "unknown field `sead`.*Keys of a recipe are seed, epochs"),
        ("lr = 1e-2", "", r"required field `lr`.*Keys of \[optimizer\] are name, lr"),
        ("lr = 1e-2", 'lr = "fast"', r"Expected `float`.*optimizer\.lr"),
        ("lr = 1e-2", "lr = 0", r"> 0.*optimizer\.lr"),
        (
            'kind = "rated"',
            'kind = "rates"',
            "'rates'.*Kinds of .data. are cached, views, synthesis",
        ),
        ('kind = "rated"', "", "Kinds of .data. are cached"),
        ('kind = "cosine"', 'kind = "sine"', "'sine'.*Kinds of .schedule. are trapezoid"),
        ("val_share", "val_part", r"`val_part`.*Keys of \[data\] are set, csv, part"),
        ("batch = 4", "batch = 0", "batch"),
        ("steps = 12", "", "one of the keys epochs and steps"),
        ("steps = 12", "steps = 12\nepochs = 2", "one of the keys epochs and steps"),
        ("batch = 4", "batch =", "is not TOML"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(write: Write, old: str, new: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Recipe.read(write((old, new)))


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.toml cannot be read"):
        Recipe.read(tmp_path / "nowhere.toml")


def test_semantic_noise_is_off_without_its_table(write: Write) -> None:
    assert Recipe.read(write()).noise is None
    assert Recipe.read(write(more=NOISE)).noise is not None


def test_trapezoid_rises_stays_and_falls() -> None:
    schedule, clock = Trapezoid(warmup=100, decay_share=0.3), Clock(1000, 1)
    rates = [schedule.share(step, clock) for step in (0, 99, 500, 850, 999)]
    assert rates == pytest.approx([0.01, 1, 1, 0.5, 1 / 300])


def test_published_cycle_of_glintiqa() -> None:
    recipe = Recipe.read(RECIPES / "glintiqa.toml")
    assert isinstance(recipe.schedule, Cycle)
    rates = [recipe.optimizer.lr * recipe.schedule.share(s, Clock(10**6, 1)) for s in range(121)]
    assert [rates[s] for s in (0, 15, 30, 60, 90)] == pytest.approx([1e-5, 5e-6, 0, 1e-5, 0])


def test_cycle_is_torchs_annealing_stepped_in_every_iteration() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    annealing = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    for step in range(100):
        share = Cycle(period_steps=60).share(step, Clock(100, 1))
        assert share == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
        optimizer.step()
        annealing.step()


def test_stairs_of_the_recipe_are_those_of_qfm_training() -> None:
    recipe, clock = Recipe.read(RECIPES / "qfm_iqm.toml"), Clock(90, 10)
    for step in range(90):
        rate = recipe.optimizer.lr * recipe.schedule.share(step, clock)
        assert rate == pytest.approx(DeiqtSchedule().rate(step / 10))


def test_cosine_ends_at_nothing() -> None:
    schedule, clock = Cosine(warmup=1), Clock(100, 10)
    assert schedule.share(0, clock) == pytest.approx(0.1)
    assert schedule.share(50, clock) == pytest.approx(0.5)
    assert schedule.share(99, clock) < 0.001


def test_the_recipe_freezes_what_glintiqa_freezes() -> None:
    recipe = Recipe.read(RECIPES / "glintiqa.toml")
    with torch.device("meta"):
        ours, published = GlintIQA(), GlintIQA().freeze()
    freeze(ours, recipe.model.freeze)
    trained = [{n for n, p in m.named_parameters() if p.requires_grad} for m in (ours, published)]
    assert trained[0] == trained[1]


def test_recipes_survive_the_metadata_of_weights() -> None:
    for path in SHIPPED:
        recipe = Recipe.read(path)
        assert msgspec.convert(msgspec.to_builtins(recipe), Recipe) == recipe
