"""Transformers whose attention decides the score, exported in both profiles and in fp16."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from export.convention import ImageConvention  # noqa: E402
from export.mixed_precision import to_low_precision  # noqa: E402
from export.to_onnx import ImageNetwork, ViewNetwork  # noqa: E402
from iqa.models import glint_edge  # noqa: E402
from iqa.models.vit import VisionTransformer  # noqa: E402
from sdk.views import View  # noqa: E402

if TYPE_CHECKING:
    from export.reference import Inputs

SIDE = 224
VIEW = View.parse(f"resize:{SIDE}x{SIDE}")
CONVENTION = ImageConvention(mean=(0.5,) * 3, std=(0.5,) * 3, low=-100, high=100)


class Scorer(nn.Module):
    """A tower of tokens, and a linear head on their mean."""

    def __init__(self, tower: nn.Module, width: int) -> None:
        super().__init__()
        self.tower = tower
        self.head = nn.Linear(width, 1)

    def forward(self, pixels: Any) -> Any:
        found = self.tower(pixels)
        tokens = getattr(found, "last_hidden_state", found)
        return self.head(tokens.mean(1)).squeeze(-1)


def glint_vit() -> ImageNetwork:
    """GlintIQA's transformer: one packed product, split in three."""
    return image_network(lambda: Scorer(VisionTransformer(depth=2), 384))


def vit_small() -> ImageNetwork:
    """A ViT-S of transformers: three products."""
    hf = pytest.importorskip("transformers")
    config = hf.ViTConfig(
        hidden_size=384, num_attention_heads=6, intermediate_size=1536, num_hidden_layers=2
    )
    return image_network(lambda: Scorer(hf.ViTModel(config, add_pooling_layer=False), 384))


def edge() -> ViewNetwork:
    """glint-edge: one packed product, permuted."""
    torch.manual_seed(0)
    network = sharpened(glint_edge.build())
    views = {name: View.parse(spec) for name, spec in glint_edge.VIEWS.items()}
    return ViewNetwork(network, views, glint_edge.OUTPUTS)


def image_network(build: Callable[[], nn.Module]) -> ImageNetwork:
    torch.manual_seed(0)
    return ImageNetwork(sharpened(build()), ("image", VIEW), CONVENTION)


def sharpened(network: nn.Module) -> nn.Module:
    """Enlarge the queries, keys and values: fresh ones attend to everything alike."""
    with torch.no_grad():
        for name, module in network.named_modules():
            if isinstance(module, nn.Linear) and name.endswith(("qkv", "_proj", "attn.proj")):
                module.weight.normal_(std=2.5 * module.in_features**-0.5)
                if module.bias is not None:
                    module.bias.normal_(std=0.1)
    return network.eval()


NETWORKS: dict[str, Callable[[], ImageNetwork | ViewNetwork]] = {
    "glint-edge": edge,
    "GlintIQA's ViT": glint_vit,
    "ViT-S": vit_small,
}


def frames(network: ImageNetwork | ViewNetwork, count: int = 3) -> list[Inputs]:
    """Frames of structure at several sizes."""
    random = np.random.default_rng(1)

    def picture(shape: tuple[int, ...], index: int) -> Any:
        grain = 4 << index
        coarse = random.integers(0, 256, (shape[0], shape[1] // grain, shape[2] // grain, 3))
        return coarse.repeat(grain, 1).repeat(grain, 2).astype(np.uint8)

    return [
        {name: picture(view.shape, index) for name, view in network.views.items()}
        for index in range(count)
    ]


@cache
def typed(name: str, profile: str, precision: str = "fp16") -> onnx.ModelProto:
    """The typed graph of a network; the caller must not change it."""
    network = NETWORKS[name]()
    return to_low_precision(network.graph(profile), frames(network)[:2], precision).model
