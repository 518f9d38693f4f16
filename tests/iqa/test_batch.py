"""A score is a frame's own: neither place nor size nor companions of its batch may change it.

LIQE's published class takes its stride over patches from the batch, and scores depend on it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import iqa.models
from export.models import NAMED, builder_of, find_builder
from iqa.models.glint_edge import GlintEdge

ATOL = 1e-3  # points, or thousandths of the bare score
MODELS = sorted(NAMED)


@pytest.fixture(scope="module", params=MODELS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A model with fresh weights, its statistics and its last layers stirred."""
    torch.manual_seed(0)
    model = find_builder(builder_of(request.param))[1]()
    if isinstance(model, GlintEdge):
        nn.init.normal_(model.uncertainty.weight, std=0.1)
        scenes = {"weight": torch.randn(3, 192), "bias": torch.zeros(3)}
        model.scenes.load_state_dict(scenes)
    return model


def inputs(model: nn.Module, count: int, seed: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    if isinstance(model, GlintEdge):
        shape = (count, 224, 224, 3)
        return tuple(
            torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for _ in range(2)
        )
    return (torch.randn((count, 3, 224, 224), generator=generator),)


def outputs(model: nn.Module, given: tuple[Tensor, ...]) -> list[Tensor]:
    with torch.inference_mode():
        found = model(*given)
    return list(found) if isinstance(found, tuple) else [found]


def test_place_size_and_companions_do_not_matter(network: nn.Module) -> None:
    frames = inputs(network, 2, 0)
    extreme = tuple(torch.full_like(x[:1], 255 if x.dtype == torch.uint8 else 9) for x in frames)
    together = outputs(network, frames)
    alone = outputs(network, tuple(x[:1] for x in frames))
    mixed = (torch.cat([e, x[1:], x[:1]]) for e, x in zip(extreme, frames, strict=True))
    last = outputs(network, tuple(mixed))
    for whole, single, moved in zip(together, alone, last, strict=True):
        assert len(whole) == 2
        torch.testing.assert_close(whole[:1], single, rtol=0, atol=ATOL)
        torch.testing.assert_close(moved[2:], single, rtol=0, atol=ATOL)
        torch.testing.assert_close(moved[1:2], whole[1:], rtol=0, atol=ATOL)


def test_every_model_is_among_them() -> None:
    """A module with a builder that is no named model would go unnoticed."""
    folder = Path(iqa.models.__file__).parent
    built = {p.stem for p in folder.glob("*.py") if "\ndef build(" in p.read_text()}
    assert built == {builder_of(name).partition(":")[0].rpartition(".")[2] for name in MODELS}
