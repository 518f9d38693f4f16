from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from iqa.models.glint_edge import (
    DISTORTION_LABELS,
    TAPS,
    UNCERTAINTY_LABELS,
    GlintEdge,
    PatchConv,
    build,
)
from iqa.models.integration import ChannelAttention, Integration, SpatialEnhancement
from iqa.models.mobilenet import SameConv, load_features, stages


@pytest.fixture(scope="module")
def model() -> GlintEdge:
    torch.manual_seed(0)
    return build()


def views(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first, second = (
        torch.randint(0, 256, (count, 224, 224, 3), generator=generator, dtype=torch.uint8)
        for _ in range(2)
    )
    return first, second


@torch.inference_mode()
def test_outputs_have_their_shapes_and_ranges(model: GlintEdge) -> None:
    score, mos, sigma, distortions, uncertainty, features = model(*views(2))
    assert score.shape == mos.shape == sigma.shape == (2,)
    assert distortions.shape == (2, len(DISTORTION_LABELS))
    assert uncertainty.shape == (2, len(UNCERTAINTY_LABELS))
    assert features.shape == (2, 192)
    assert bool(((score >= 0) & (score <= 100)).all())
    torch.testing.assert_close(mos, 1 + score / 25)
    assert bool((sigma > 0).all())
    torch.testing.assert_close(distortions.sum(-1), torch.ones(2))


@torch.inference_mode()
def test_both_views_and_their_order_matter(model: GlintEdge) -> None:
    first, second = views(1)
    base = model.features(*trunk(model, first, second))
    assert not torch.allclose(base, model.features(*trunk(model, second, first)))
    for changed in ((255 - first, second), (first, 255 - second)):
        assert not torch.allclose(base, model.features(*trunk(model, *changed)))


def trunk(
    model: GlintEdge, fragments: torch.Tensor, resize: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    return (*model.shallow(fragments), model.shallow(resize)[1])


def test_size_is_within_the_budget(model: GlintEdge) -> None:
    assert sum(p.numel() for p in model.parameters()) <= 7_000_000
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(*views(1))
    assert counter.get_total_flops() / 2 <= 2e9  # multiply-accumulates


@torch.inference_mode()
@pytest.mark.parametrize(
    ("channels", "positions"), [(384, 196), (576, 196), (1152, 196), (384, 49)]
)
def test_linear_attention_equals_softmax_attention(channels: int, positions: int) -> None:
    torch.manual_seed(1)
    attention = ChannelAttention(positions).double()
    parts = attention.project(torch.randn(2, channels, positions, dtype=torch.float64))
    exact, linear = attention.attend_exact(*parts), attention.attend(*parts)
    assert float((linear - exact).norm() / exact.norm()) < 2e-4


def test_parameters_of_the_published_attention() -> None:
    assert sum(p.numel() for p in ChannelAttention(196).parameters()) == 116_228


@torch.inference_mode()
def test_attention_survives_a_channel_of_zeros() -> None:
    attention = ChannelAttention(196)
    torch.nn.init.zeros_(attention.qkv.bias)
    out = attention(torch.zeros(1, 384, 196))
    assert bool(torch.isfinite(out).all())


@torch.inference_mode()
def test_integration_keeps_the_grid() -> None:
    step = Integration(192, 196)
    out = step(torch.randn(2, 192, 14, 14), torch.randn(2, 192, 14, 14))
    assert out.shape == (2, 192, 14, 14)
    assert isinstance(step.enhance, SpatialEnhancement)


@torch.inference_mode()
def test_stride_two_pads_right_and_below() -> None:
    conv = SameConv(1, 1, 2)
    torch.nn.init.ones_(conv.weight)
    torch.nn.init.zeros_(conv.bias)
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 0] = 1
    out = conv(image)
    assert out.shape == (1, 1, 2, 2)
    assert float(out[0, 0, 0, 0]) == 1
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 1, 1] = 1  # seen by the first window only, since nothing is padded left or above
    assert conv(image).flatten().tolist() == [1, 0, 0, 0]


def test_missing_pretrained_tensor_is_named() -> None:
    with pytest.raises(KeyError, match=r"features\.7\.conv"):
        load_features(stages(7, 7), {})


def test_pretrained_stages_all_load(shared_data: Path) -> None:
    from safetensors.torch import load_file

    weights = load_file(shared_data.parent / "weights/mobilenet_v2_imagenet.safetensors")
    model = GlintEdge()
    model.load_imagenet(weights)
    loaded = model.local.deep["13"].conv[2].weight
    torch.testing.assert_close(loaded, weights["features.13.conv.2.weight"].float())


@pytest.mark.parametrize(("channels", "size"), TAPS.values())
def test_patches_are_convolved_as_by_torch_and_in_bf16_too(channels: int, size: int) -> None:
    """On a CPU with AMX the direct form fails this in bf16 for 24 channels in patches of 4."""
    torch.manual_seed(3)
    conv, x = PatchConv(channels, 96, size).eval(), torch.randn(2, channels, 56, 56)
    with torch.inference_mode():
        expected = nn.Conv2d.forward(conv, x)
        torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(conv(x).float(), expected, rtol=0, atol=0.03)
