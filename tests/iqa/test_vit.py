from __future__ import annotations

import pytest
import torch

from iqa.models.vit import VisionTransformer, to_grid


@pytest.fixture(scope="module")
def vit() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(depth=3).eval()


def image(count: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def test_parameters_of_vit_small() -> None:
    count = sum(p.numel() for p in VisionTransformer(classes=1000).parameters())
    assert count == 22_050_664  # timm's vit_small_patch16_224


@torch.inference_mode()
def test_outputs_are_the_residual_stream(vit: VisionTransformer) -> None:
    outputs = vit.outputs(image(2), 3)
    assert [tuple(o.shape) for o in outputs] == [(2, 197, 384)] * 3
    torch.testing.assert_close(vit.blocks[1](outputs[0]), outputs[1])
    torch.testing.assert_close(vit(image(2)), vit.norm(outputs[2]))


@torch.inference_mode()
def test_blocks_past_the_last_tap_are_not_run(vit: VisionTransformer) -> None:
    ran = []
    hooks = [
        b.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, b in enumerate(vit.blocks)
    ]
    vit.outputs(image(), 2)
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]


@torch.inference_mode()
def test_grid_holds_patches_row_by_row(vit: VisionTransformer) -> None:
    vit.pos_embed.zero_()
    picture = torch.zeros(1, 3, 224, 224)
    picture[:, :, 2 * 16 : 3 * 16, 5 * 16 : 6 * 16] = 1  # patch of row 2, column 5
    changed = (to_grid(vit.embed(picture)) - to_grid(vit.embed(picture * 0))).abs().sum(1)[0] > 0
    assert changed.nonzero().tolist() == [[2, 5]]


@torch.inference_mode()
def test_deit_three_positions_leave_the_class_token_alone() -> None:
    vit = VisionTransformer(depth=1, class_position=False, layer_scale=1e-4)
    assert vit.pos_embed.shape == (1, 196, 384)
    torch.testing.assert_close(vit.embed(image())[:, 0], vit.cls_token[0])
    tokens = vit.embed(image())
    torch.testing.assert_close(vit.blocks[0](tokens), tokens, rtol=0, atol=1e-3)  # scaled by 1e-4


@torch.inference_mode()
def test_attention_equals_its_definition(vit: VisionTransformer) -> None:
    attention = vit.blocks[0].attn.double()
    x = torch.randn(1, 7, 384, dtype=torch.float64)
    query, key, value = attention.qkv(x).chunk(3, dim=-1)
    heads = [slice(i * 64, i * 64 + 64) for i in range(6)]
    mixed = [
        torch.softmax(query[..., h] @ key[..., h].mT / 8, dim=-1) @ value[..., h] for h in heads
    ]
    torch.testing.assert_close(attention(x), attention.proj(torch.cat(mixed, dim=-1)))
    attention.float()
