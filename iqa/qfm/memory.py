"""Tokens of past samples, first in first out, to be drawn on as semantic noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Memory:
    """The last ``capacity`` samples. Room is taken at the first push: 150 kB a sample for 196
    tokens of width 384 in fp16.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.pushed = 0  # samples so far, those that were overwritten too
        self._store: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return min(self.pushed, self.capacity)

    @property
    def patches(self) -> Tensor:
        """Tokens, ``[M, N, D]`` fp16."""
        return self._store["patches"][: len(self)]

    @property
    def key(self) -> Tensor:
        """What the pictures show, ``[M, K]`` of unit length."""
        return self._store["key"][: len(self)]

    @property
    def quality(self) -> Tensor:
        """``[M]``, 0 to 1."""
        return self._store["quality"][: len(self)]

    @property
    def dataset(self) -> Tensor:
        """``[M]`` integers."""
        return self._store["dataset"][: len(self)]

    def push(self, patches: Tensor, key: Tensor, quality: Tensor, dataset: Tensor) -> None:
        """Take in samples, ``[B, ...]`` each; the oldest go. Gradients are cut here."""
        limit = torch.finfo(torch.float16).max
        entries = {
            "patches": patches.detach().clamp(-limit, limit).to(torch.float16),
            "key": F.normalize(key.detach().float(), dim=-1),
            "quality": quality.detach().float(),
            "dataset": dataset.detach().to(torch.int64),
        }
        count = len(quality)
        slots = torch.arange(self.pushed, self.pushed + count)[-self.capacity :] % self.capacity
        for name, value in entries.items():
            if name not in self._store:
                self._store[name] = value.new_zeros(self.capacity, *value.shape[1:])
            self._store[name][slots] = value[-self.capacity :]
        self.pushed += count

    def state(self) -> dict[str, int | dict[str, Tensor]]:
        """Everything, for a checkpoint."""
        return {"pushed": self.pushed, "store": self._store}

    def restore(self, state: dict[str, int | dict[str, Tensor]]) -> None:
        """Continue from what :meth:`state` gave."""
        self.pushed, self._store = state["pushed"], dict(state["store"])
