"""Models that nobody here wrote, built from their published configurations with seeded weights.

Widths, heads and operators are the published ones; what repeats is repeated less often, so that
nine models can be exported and built twice within a test.

Random networks answer almost the same to every picture, and then every runtime would agree. So
batch norms measure their statistics on the pictures, as training does, and each head is fitted to
give the pictures scores from 20 to 80.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import transformers as hf
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    Attributes:
        build: Makes it with one number as its output.
        size: Side of its pictures.
        normalisation: Mean and deviation of each channel.
        attentions: SDPA calls, each of which is one Attention node in the profile native-attention.
        layer_norms: Modules that must each be one node.
    """

    build: Callable[[], nn.Module]
    size: int = 224
    normalisation: tuple[tuple[float, float, float], tuple[float, float, float]] = IMAGENET
    attentions: int = 0
    layer_norms: int = 0


class ClipScorer(nn.Module):
    """A CLIP vision tower with a regression head."""

    def __init__(self) -> None:
        super().__init__()
        config = hf.CLIPVisionConfig(
            hidden_size=384, intermediate_size=1536, num_attention_heads=6, patch_size=16,
            num_hidden_layers=2,
        )  # fmt: skip
        self.tower = hf.CLIPVisionModel(config)
        self.classifier = nn.Linear(384, 1)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        found = self.tower(pixel_values=pixels)
        return {"score": self.classifier(found.pooler_output), "tokens": found.last_hidden_state}


def vit() -> nn.Module:
    return hf.ViTForImageClassification(
        hf.ViTConfig(
            hidden_size=384,
            num_attention_heads=6,
            intermediate_size=1536,
            num_hidden_layers=4,
            num_labels=1,
        )
    )


def dinov2() -> nn.Module:
    return hf.Dinov2ForImageClassification(
        hf.Dinov2Config(
            hidden_size=384, num_attention_heads=6, image_size=224, num_hidden_layers=3,
            num_labels=1,
        )
    )  # fmt: skip


def efficientnet() -> nn.Module:
    return hf.EfficientNetForImageClassification(
        hf.EfficientNetConfig(
            width_coefficient=1.0, depth_coefficient=1.0, image_size=224, hidden_dim=1280,
            num_labels=1,
        )
    )  # fmt: skip


ZOO = {
    "ViT-S/16": Entry(vit, normalisation=HALF, attentions=4, layer_norms=9),
    "Swin-T": Entry(
        lambda: hf.SwinForImageClassification(hf.SwinConfig(num_labels=1, depths=[2, 1, 1, 1])),
        attentions=5,
        layer_norms=15,
    ),
    "ConvNeXt-T": Entry(
        lambda: hf.ConvNextForImageClassification(
            hf.ConvNextConfig(num_labels=1, depths=[1, 1, 2, 1])
        ),
        layer_norms=10,
    ),
    "MobileNetV2": Entry(
        lambda: hf.MobileNetV2ForImageClassification(hf.MobileNetV2Config(num_labels=1)),
        normalisation=HALF,
    ),
    "EfficientNet-B0": Entry(efficientnet),
    "MobileViT-S": Entry(
        lambda: hf.MobileViTForImageClassification(hf.MobileViTConfig(num_labels=1)),
        size=256,
        layer_norms=21,
    ),
    "SegFormer-B0": Entry(
        lambda: hf.SegformerForImageClassification(hf.SegformerConfig(num_labels=1)),
        attentions=8,
        layer_norms=30,
    ),
    "DINOv2-S": Entry(dinov2, attentions=3, layer_norms=7),
    "CLIP": Entry(ClipScorer, attentions=2, layer_norms=6),
}


def pictures(size: int) -> list[NDArray[np.uint8]]:
    """Return five pictures [1, size, size, 3] that differ in light, colour and detail."""
    random = np.random.default_rng(3)
    ramp = np.linspace(0, 255, size)[:, None, None] * np.ones((1, size, 3))
    noise = random.integers(0, 256, (size, size, 3))
    coarse = random.integers(0, 256, (8, 8, 3)).repeat(size // 8, 0).repeat(size // 8, 1)
    mixed = [
        ramp, noise, coarse, 0.6 * ramp + 0.4 * noise, 40 + 0.3 * coarse * [1.0, 0.6, 0.2]
    ]  # fmt: skip
    return [picture.astype(np.uint8)[None] for picture in mixed]


def build(entry: Entry, normalised: list[Tensor]) -> nn.Module:
    """Make a model whose scores of the given pictures run from 20 to 80 within 0 to 100.

    Args:
        entry: What to make.
        normalised: The pictures as the model takes them, float32 [1, 3, size, size].
    """
    torch.manual_seed(0)
    network = entry.build()
    _measure_norms(network, torch.cat(normalised))
    head = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        head.weight.normal_()
        seen: list[Tensor] = []
        hook = head.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].flatten()))
        for picture in normalised:
            network(picture)
        hook.remove()
        features = torch.stack(seen)  # [pictures, width]
        centred = features - features.mean(0)
        direction = torch.linalg.svd(centred, full_matrices=False).Vh[0]
        along = features @ direction
        gain = 60 / (along.max() - along.min())
        head.weight.copy_((gain * direction)[None])
        head.bias.fill_(float(20 - gain * along.min()))
    return network


def _measure_norms(network: nn.Module, pictures: Tensor) -> None:
    """Give batch norms the statistics of the pictures, and leave the network in evaluation."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average, whatever was there before
            module.reset_running_stats()
    with torch.no_grad():
        network.train()(pictures)
    network.eval()
