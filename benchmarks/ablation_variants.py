"""The variants of glint-edge that the ablation trains, and their short training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from benchmarks.ablation_taps import TapNetwork, TapSource, WithoutFaults
from iqa.models.glint_edge import GlintEdge
from iqa.training.loader import Batches, Order
from iqa.training.networks import build_network, freeze, start_from
from iqa.training.parallel import World
from iqa.training.recipe import Noise, Recipe
from iqa.training.schedule import Clock
from iqa.training.trainer import Trainer

FULL = "everything"


class LocalOnly(GlintEdge):
    """Without the global branch and, with it, the integration."""

    def pooled(self, local4: Tensor, local8: Tensor, context8: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        feature = self.local(local4, local8).mean(dim=(2, 3))
        return feature, feature


class GlobalOnly(GlintEdge):
    """Without the local branch and, with it, the integration."""

    def pooled(self, local4: Tensor, local8: Tensor, context8: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        feature = self.context(context8)[-1].mean(dim=(2, 3))
        return feature, feature


def without_attention(model: GlintEdge) -> None:
    """Channels no longer attend to each other."""
    for part in (model.local, *model.integrate):
        part.attention = nn.Identity()


def without_enhancement(model: GlintEdge) -> None:
    """The integration mixes channels, but no neighbours in space."""
    for part in model.integrate:
        part.enhance.depthwise = nn.Identity()


def without_blocks(model: GlintEdge) -> None:
    """The global branch's taps are its convolutions' outputs, all the same."""
    for index in range(len(model.context.blocks)):
        model.context.blocks[index] = nn.Identity()


def of_class(kind: type[GlintEdge]) -> Callable[[GlintEdge], None]:
    """Turn a model into one of ``kind``."""

    def change(model: GlintEdge) -> None:
        model.__class__ = kind

    return change


def lighter(loss: str) -> Callable[[Recipe], Recipe]:
    """A recipe without one of its losses."""

    def change(recipe: Recipe) -> Recipe:
        kept = {name: weight for name, weight in recipe.losses.items() if name != loss}
        return msgspec.structs.replace(recipe, losses=kept)

    return change


def noisy(recipe: Recipe) -> Recipe:
    """Semantic noise from a tenth of the run on, full at four tenths."""
    assert recipe.steps is not None
    noise = Noise(start=recipe.steps * 0.1, full=recipe.steps * 0.4, memory=1024)
    return msgspec.structs.replace(recipe, noise=noise)


MODELS: Mapping[str, Callable[[GlintEdge], None]] = {
    "local branch": of_class(GlobalOnly),
    "global branch": of_class(LocalOnly),
    "channel attention": without_attention,
    "spatial enhancement": without_enhancement,
    "transformer blocks": without_blocks,
}
RECIPES: Mapping[str, Callable[[Recipe], Recipe]] = {
    "ranking loss": lighter("ranking"),
    "correlation loss": lighter("correlation"),
    "cause loss": lighter("cause"),
}
VARIANTS = (
    FULL, *(f"without {name}" for name in (*MODELS, *RECIPES, "camera faults")),
    "with noise matching",
)  # fmt: skip


def short(recipe: Recipe, steps: int, seed: int, precision: str) -> Recipe:
    """The recipe for a short training of what lies behind the ImageNet stages."""
    schedule = msgspec.structs.replace(recipe.schedule, warmup=min(steps / 10, 50))
    return msgspec.structs.replace(
        recipe, schedule=schedule, steps=steps, seed=seed, precision=precision, average=0.98
    )


def trained(
    variant: str, recipe: Recipe, source: TapSource, start: Path, progress: Callable[[], object]
) -> Trainer:
    """Train one variant with the recipe's seed."""
    part = variant.removeprefix("without ")
    recipe = RECIPES.get(part, lambda same: same)(recipe)
    recipe = noisy(recipe) if variant == "with noise matching" else recipe
    units = WithoutFaults(source) if part == "camera faults" else source
    model, _ = build_network(recipe.model, recipe.seed)
    start_from(model, recipe.model, {"mobilenet": start})
    MODELS.get(part, lambda _: None)(model)
    TapNetwork.prepare(model)
    freeze(model, recipe.model.freeze)
    assert recipe.steps is not None
    clock = Clock(recipe.steps, 1)
    trainer = Trainer(model, TapNetwork(), recipe, clock, World(), torch.device("cpu"))
    order = Order(len(units), recipe.batch, recipe.seed, 0, clock.total, slice(None))
    for batch in Batches(units, order, 0):
        trainer.update(batch)
        progress()
    return trainer
