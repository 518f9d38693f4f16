"""Our lists of tensors are from a description; here are the libraries, where they are installed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from iqa.models.checkpoints import load_resnet, load_vit
from iqa.models.glintiqa import build
from iqa.models.resnet import RESNET101, ResNet
from iqa.models.vit import VisionTransformer


def scattered(module: nn.Module) -> nn.Module:
    """Random values everywhere, so that every tensor matters."""
    torch.manual_seed(5)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                noise = 0.02 * torch.randn_like(value)
                value.copy_(value.abs() + 0.5 if name.endswith("running_var") else value + noise)
    return module.eval()


def image() -> torch.Tensor:
    return torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_taps_are_those_of_timms_vit() -> None:
    timm = pytest.importorskip("timm")
    theirs, ours = scattered(timm.create_model("vit_small_patch16_224")), build()
    state = theirs.state_dict()
    loaded = load_vit(ours.context.vit, state)
    assert sorted(loaded.used + loaded.left_out) == sorted(state)
    taps = theirs.forward_intermediates(
        image(), indices=[6, 7, 8, 9], norm=False, intermediates_only=True
    )
    for tap, reference in zip(ours.context(image()), taps, strict=True):
        torch.testing.assert_close(tap, reference, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_deit_three_is_that_of_timm() -> None:
    timm = pytest.importorskip("timm")
    theirs = scattered(timm.create_model("deit3_small_patch16_224"))
    ours = VisionTransformer(layer_scale=1e-4, class_position=False).eval()
    assert set(load_vit(ours, theirs.state_dict()).left_out) == {"head.weight", "head.bias"}
    expected = theirs.forward_features(image())
    torch.testing.assert_close(ours(image()), expected, rtol=0, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("library", ["timm", "torchvision.models"])
def test_resnet_is_that_of_the_library(library: str) -> None:
    module = pytest.importorskip(library)
    make = module.create_model if library == "timm" else module.get_model
    theirs, ours = scattered(make("resnet50")), ResNet(4).eval()
    state = theirs.state_dict()
    loaded = load_resnet(ours, state)
    assert sorted(loaded.used + loaded.left_out) == sorted(state)
    assert set(loaded.left_out) == {"fc.weight", "fc.bias"}
    x = theirs.maxpool(torch.relu(theirs.bn1(theirs.conv1(image()))))
    for stage, found in enumerate(ours(image()), 1):
        x = getattr(theirs, f"layer{stage}")(x)
        torch.testing.assert_close(found, x, rtol=0, atol=1e-4 * float(x.abs().max()))
    deeper = make("resnet101").state_dict()
    assert set(load_resnet(ResNet(4, RESNET101), deeper).left_out) == {"fc.weight", "fc.bias"}
