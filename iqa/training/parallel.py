"""Several processes on one batch, started by torchrun; one process without it.

Every process runs its share of the batch, sees everybody's outputs, and computes the loss of the
whole batch: losses that compare samples compare all of them. Its gradient reaches its own share
only, so the sum over processes is the gradient of the whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist


@dataclass(frozen=True, slots=True)
class World:
    """This process among all.

    Attributes:
        rank: Number of this process; 0 writes files and speaks.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of ``count`` samples, which must divide by the size."""
        each = count // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    def gather(self, value: Tensor) -> Tensor:
        """``[B / size, ...]`` of every process in order, ``[B, ...]``; gradient to our own part."""
        if self.size == 1:
            return value
        parts = [torch.empty_like(value) for _ in range(self.size)]
        dist.all_gather(parts, value.detach().contiguous())
        parts[self.rank] = value
        return torch.cat(parts)

    def gather_objects(self, value: Any) -> list[Any]:
        """One object of every process, in order."""
        if self.size == 1:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    @torch.no_grad()
    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up gradients; what has none in any process keeps none."""
        if self.size == 1:
            return
        has = torch.tensor([float(p.grad is not None) for p in parameters])
        has = has.to(parameters[0].device)
        dist.all_reduce(has)
        used = [p for p, n in zip(parameters, has.tolist(), strict=True) if n]
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in used]
        )
        dist.all_reduce(flat)
        for p, part in zip(used, flat.split([p.numel() for p in used]), strict=True):
            p.grad = part.view_as(p)

    def agree(self, module: nn.Module) -> None:
        """Give every process the running statistics of the first."""
        if self.size > 1:
            for value in module.buffers():
                dist.broadcast(value, 0)

    def wait(self) -> None:
        """Until everybody is here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def world(device: torch.device) -> Iterator[World]:
    """The processes that torchrun started, or this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size())
        dist.barrier()  # nobody hangs up on one who still talks
    finally:
        dist.destroy_process_group()
