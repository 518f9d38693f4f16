from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from iqa.models.glint_edge import GlintEdge
from iqa.training.batch import Batch
from iqa.training.networks import GlintEdgeNetwork, build_network, freeze, start_from
from iqa.training.objective import Outputs, check_losses, parts
from iqa.training.parallel import World
from iqa.training.recipe import Model, Recipe
from iqa.training.run import Run
from iqa.training.schedule import Clock
from iqa.training.trainer import Trainer, parameter_groups
from sdk.errors import UsageError

from .conftest import NOISE, Make, Write


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Model("glintqa"), "'glintqa'; allowed are glint-edge, glintiqa, qfm-iqm and package"),
        (Model("no.such:build", views=["crops:1x1@32"]), "no.such.*PYTHONPATH"),
        (Model("tiny_model:nothing", views=["crops:1x1@32"]), "nothing.*PYTHONPATH"),
        (Model("tiny_model:build"), "needs views"),
        (Model("tiny_model:build_nothing", views=["crops:1x1@32"]), "gave int, no nn.Module"),
        (Model("glint-edge", options={"depth": 3}), "glint-edge cannot be built.*depth"),
        (Model("glint-edge", views=["crops:1x1@32"]), "has its own"),
    ],
)
@pytest.mark.usefixtures("write")
def test_models_that_cannot_be_built_are_named(model: Model, said: str, write: Write) -> None:
    write()
    with pytest.raises(UsageError, match=said):
        build_network(model, 0)


def test_start_weights_are_those_that_the_recipe_asks_for(tmp_path: Path) -> None:
    model, _ = build_network(Model("glint-edge", {"blocks": 1}), 0)
    save_file({"features.0.0.weight": torch.zeros(1)}, tmp_path / "some.safetensors")
    some = {"mobilenet": tmp_path / "some.safetensors"}
    asked = Model("glint-edge", start=["mobilenet"])
    with pytest.raises(UsageError, match="asks for --start mobilenet=FILE; given are none"):
        start_from(model, asked, {})
    with pytest.raises(UsageError, match="asks for no --start; given are mobilenet"):
        start_from(model, Model("glint-edge"), some)
    with pytest.raises(UsageError, match=r"mobilenet=.*lacks the tensor 'features\."):
        start_from(model, asked, some)
    with pytest.raises(UsageError, match="'vit'; glint-edge starts from mobilenet, weights"):
        start_from(model, Model("glint-edge", start=["vit"]), {"vit": tmp_path})
    with pytest.raises(UsageError, match=r"does not fit this model; .* such as"):
        start_from(model, Model("glint-edge", start=["weights"]), {"weights": some["mobilenet"]})


def test_freeze_stops_a_part_and_names_what_is_none() -> None:
    model = GlintEdge(1, 1)
    freeze(model, ["trunk", "context.blocks.0"])
    left = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith(("trunk.", "context.blocks.0.")) for name in left)
    assert "context.position" in left
    with pytest.raises(UsageError, match=r"'trunc', which is no part.*trunk, local, context"):
        freeze(model, ["trunc"])
    with pytest.raises(UsageError, match="nothing to train"):
        freeze(model, ["trunk", "local", "context", "integrate", "hidden", "quality", "cause"])
    with pytest.raises(UsageError, match="'scenes', which is no part"):  # none were fitted
        freeze(model, ["scenes"])


def test_rates_and_decay_by_part() -> None:
    recipe_optimizer = Recipe.read(Path("iqa/recipes/glint_edge.toml")).optimizer
    model = GlintEdge(1, 1)
    groups = parameter_groups(model, recipe_optimizer)
    found = {id(p): group for group in groups for p in group["params"]}
    deep = model.local.deep["7"].conv[0][0]
    assert found[id(deep.weight)]["peak"] == pytest.approx(2e-4)
    assert found[id(deep.bias)]["weight_decay"] == 0
    assert found[id(model.quality.weight)]["peak"] == 1e-3
    assert found[id(model.quality.weight)]["weight_decay"] == 0.05


def test_losses_that_a_model_cannot_have_are_refused() -> None:
    check_losses({"l1": 1.0}, frozenset({"quality"}), causes=False)
    for weights, said in (
        ({"l2": 1.0}, r"has l2; .* there are l1, smooth_l1"),
        ({"cause": 1.0}, "has cause"),
        ({}, "is empty"),
    ):
        with pytest.raises(UsageError, match=said):
            check_losses(weights, frozenset({"quality"}), causes=True)
    with pytest.raises(UsageError, match="has cause"):
        check_losses({"cause": 1.0}, GlintEdgeNetwork.outputs, causes=False)


def test_values_of_the_plain_losses() -> None:
    target = torch.tensor([0.2, 0.6])
    ones, causes = torch.ones(2), torch.zeros(2, 12)
    batch = Batch((), target, ones, causes, torch.arange(2))
    found = parts({"l1": 1.0, "smooth_l1": 1.0}, Outputs(target + 0.1), batch)
    assert float(found["l1"]) == pytest.approx(0.1)
    assert float(found["smooth_l1"]) == pytest.approx(0.005)


class Ready:
    """One step's inputs of each kind."""

    @staticmethod
    def batch(inputs: tuple[Tensor, ...]) -> Batch:
        count = len(inputs[0])
        causes = torch.zeros(count, 12)
        causes[:, 0] = 1
        return Batch(
            inputs, torch.linspace(0, 1, count), torch.ones(count), causes, torch.arange(count) // 2
        )


@pytest.mark.parametrize(
    ("name", "options"),
    [("glint-edge", {"blocks": 1}), ("glintiqa", {}), ("qfm-iqm", {"depth": 1})],
)
def test_every_model_takes_steps_with_semantic_noise(
    write: Write, name: str, options: dict[str, int]
) -> None:
    """Clean, filling the memory, then noisy; the keys stay those of the start."""
    recipe = Recipe.read(
        write(("lr = 1e-2", "lr = 1e-4"), more=NOISE.replace("start = 3", "start = 1"))
    )
    model, network = build_network(Model(name, options), 0)
    clock = Clock(4, 1)
    trainer = Trainer(model, network, recipe, clock, World(), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    size = (2, 224, 224, 3)
    views = 2 if name == "glint-edge" else 1
    inputs = tuple(
        torch.randint(256, size, generator=generator).to(torch.uint8) for _ in range(views)
    )
    assert trainer.noise is not None
    before = _key(trainer, inputs)
    found = [set(trainer.update(Ready.batch(inputs))) for _ in range(2)]
    assert "noise" not in found[0]
    assert {"noise", "consistency"} <= found[1]
    assert len(trainer.noise.memory) == 4
    assert torch.equal(before, _key(trainer, inputs))


def _key(trainer: Trainer, inputs: tuple[Tensor, ...]) -> Tensor:
    assert trainer.noise is not None
    frozen = build_network(Model("glint-edge", {"blocks": 1}), 0)[0]
    model = frozen if len(inputs) == 2 else trainer.model  # trained trunks move their outputs
    with torch.no_grad():
        return trainer.noise.key(trainer.network.inputs(model, inputs))


def test_a_model_without_noise_is_asked_for_its_score_alone(make: Make) -> None:
    run: Run = make()
    called: list[str] = []
    model: nn.Module = run.trainer.model
    model.register_forward_hook(lambda *_: called.append("forward"))
    run.finish(until=1)
    assert called == ["forward"]
