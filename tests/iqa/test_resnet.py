from __future__ import annotations

import torch

from iqa.models.resnet import RESNET101, ResNet


def image(count: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def test_parameters_of_the_stages() -> None:
    resnet = ResNet()
    counts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in resnet.named_children()
    }
    assert counts["conv1"] + counts["bn1"] == 9_536
    assert counts["layer1"] == 215_808
    assert counts["layer2"] == 1_219_584
    assert counts["layer3"] == 7_098_368
    full = sum(p.numel() for p in ResNet(4).parameters())
    assert full + 2048 * 1000 + 1000 == 25_557_032  # torchvision's resnet50
    full = sum(p.numel() for p in ResNet(4, RESNET101).parameters())
    assert full + 2048 * 1000 + 1000 == 44_549_160  # torchvision's resnet101


@torch.inference_mode()
def test_stages_have_their_strides() -> None:
    shapes = [tuple(f.shape) for f in ResNet(4).eval()(image())]
    assert shapes == [(1, 256, 56, 56), (1, 512, 28, 28), (1, 1024, 14, 14), (1, 2048, 7, 7)]


def test_a_stage_strides_in_its_first_3x3() -> None:
    resnet = ResNet()
    strided = [
        name
        for name, part in resnet.named_modules()
        if isinstance(part, torch.nn.Conv2d) and part.stride == (2, 2)
    ]
    assert strided == [
        "conv1",
        *(f"layer{s}.0.{part}" for s in (2, 3) for part in ("conv2", "downsample.0")),
    ]


@torch.inference_mode()
def test_output_does_not_depend_on_the_batch() -> None:
    resnet = ResNet(2).eval()
    together, alone = resnet(image(2))[1][:1], resnet(image(2)[:1])[1]
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
