"""An ordinary image network, as somebody might have trained it: pictures in, a number out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlainNetwork(nn.Module):
    """Two convolutions and a head; numbers from 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, 4)
        self.second = nn.Conv2d(8, 8, 3, 2)
        self.head = nn.Linear(8, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(pictures))))
        return torch.sigmoid(self.head(x.mean(dim=(2, 3)))).squeeze(1)


def build() -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    network = PlainNetwork().eval()
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
    return network
