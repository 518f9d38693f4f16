"""A network with the signature of our models and one of each layer that exporters stumble over."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.description import Description
from sdk.manifest import Provenance, ViewInput

OUTPUTS = ("score", "mos", "sigma", "distortions")
LABELS = ("blur", "noise", "none")
VIEWS = {"fragments": "fragments:2x32", "resize": "resize:64x64"}

DESCRIPTION = Description(
    id="small",
    version="0.1",
    description="For tests",
    views=tuple(ViewInput(input=name, spec=spec) for name, spec in VIEWS.items()),
    licence="Apache-2.0",
    sources=(Provenance(name="seed 0", role="weights", licence="CC0-1.0"),),
    outputs=OUTPUTS,
    distortion_labels=LABELS,
)


class SmallNetwork(nn.Module):
    """Convolution with batch norm, attention over tokens with layer norm, four outputs."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 8, 8, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.layer_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.head = nn.Linear(width, 2 + len(LABELS))

    def forward(self, fragments: Tensor, resize: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        tokens = torch.cat([self.tokens(fragments), self.tokens(resize)], dim=1)
        qkv = self.qkv(self.layer_norm(tokens)).unflatten(-1, (3, 2, -1))  # [B, N, 3, heads, 32]
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(1, 2).flatten(2)
        raw = self.head((tokens + mixed).mean(dim=1))
        score = 100 * torch.sigmoid(raw[:, 0])
        sigma = 0.5 + 25 * torch.exp(0.5 * raw[:, 1].clamp(-8, 4))
        return score, 1 + score / 25, sigma, torch.softmax(raw[:, 2:], dim=-1)

    def tokens(self, view: Tensor) -> Tensor:
        image = self.to_image(view)
        return torch.relu(self.norm(self.stem(image))).flatten(2).transpose(1, 2)

    def to_image(self, view: Tensor) -> Tensor:
        return (view.float() / 255 - 0.5).permute(0, 3, 1, 2)


def build() -> nn.Module:
    """Random weights and statistics that fp16 holds exactly; the scores spread over the range."""
    generator = torch.Generator().manual_seed(0)
    network = SmallNetwork().eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            noise = torch.rand(value.shape, generator=generator)
            spread = noise + 0.5 if name.endswith(("var", "norm.weight")) else noise - 0.5
            value.copy_(spread.half().float())
    return network


def not_a_network() -> str:
    return "a string"


def fails() -> nn.Module:
    raise KeyError("nobody has this key")
