"""The network with and without scenes: what it returns, loads, and leaves as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from iqa.models.glint_edge import OUTPUTS, GlintEdge
from iqa.models.scene_head import SceneHead
from iqa.models.uncertainty_head import state_without_head


def views(count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (count, 224, 224, 3)
    fragments, resize = (
        torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8) for _ in range(2)
    )
    return fragments, resize


def fitted(scenes: int = 3) -> GlintEdge:
    torch.manual_seed(0)
    model = GlintEdge(blocks=1).eval()
    state = model.state_dict()
    head = {"scenes.weight": torch.randn(scenes, 192), "scenes.bias": torch.zeros(scenes)}
    model.load_state_dict(state | head)
    return model


def test_without_a_head_nothing_is_there() -> None:
    model = GlintEdge(blocks=1).eval()
    assert model.outputs == OUTPUTS
    assert not [name for name in model.state_dict() if name.startswith("scenes")]
    assert len(model(*views())) == len(OUTPUTS)


def test_weights_bring_their_scenes_and_the_rest_stays_bit_for_bit() -> None:
    model = fitted()
    plain = GlintEdge(blocks=1).eval()
    plain.load_state_dict({n: v for n, v in model.state_dict().items() if "scenes" not in n})
    with torch.inference_mode():
        found, before = model(*views(2)), plain(*views(2))
    assert model.outputs == (*OUTPUTS, "scenes")
    assert found[-1].shape == (2, 3)
    assert ((found[-1] > 0) & (found[-1] < 1)).all()
    assert all(torch.equal(a, b) for a, b in zip(found, before, strict=False))


def test_scenes_are_read_from_the_whole_frame_alone(repository: Path) -> None:
    model = GlintEdge().eval()
    state = load_file(repository / "iqa/weights/glint_edge.safetensors")
    head = {"scenes.weight": torch.randn(3, 192), "scenes.bias": torch.zeros(3)}
    model.load_state_dict(state | head)
    fragments, resize = views()
    with torch.inference_mode():
        found, other = model(fragments, resize), model(fragments // 8 + 100, resize)
        turned = model(fragments, 255 - resize)
    torch.testing.assert_close(found[-1], other[-1])
    assert abs(found[0] - other[0]) > 1
    assert (found[-1] - turned[-1]).abs().max() > 0.1


def test_training_neither_moves_nor_writes_them() -> None:
    model = fitted()
    assert not any(value.requires_grad for value in model.scenes.parameters())
    assert not [name for name in state_without_head(model) if name.startswith("scenes")]


def test_a_state_without_scenes_leaves_them_as_they_are() -> None:
    model = fitted()
    before = model.scenes.weight.clone()
    model.load_state_dict(state_without_head(model))
    assert torch.equal(model.scenes.weight, before)


def test_other_scenes_take_the_place_of_the_old() -> None:
    model, other = fitted(3), fitted(5)
    model.load_state_dict(other.state_dict())
    assert model.scenes.weight.shape == (5, 192)


def test_half_a_head_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        SceneHead(4).load_state_dict({"bias": torch.zeros(2)})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        SceneHead(4).load_state_dict({"weight": torch.zeros(2, 4)})
