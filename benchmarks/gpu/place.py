"""Where checks and timings run: on the GPU. Their tests run the checks on the host, on emulated
kernels, by setting DEVICE to "cpu".
"""

from __future__ import annotations

from typing import Any

DEVICE = "cuda"


def randomness(seed: int) -> Any:
    """A torch generator there."""
    import torch

    return torch.Generator(DEVICE).manual_seed(seed)


def normal(random: Any, *shape: int) -> Any:
    """A float32 tensor of normal numbers there."""
    import torch

    return torch.randn(shape, generator=random, device=DEVICE)


def stream() -> int:
    """Torch's current stream, as the binding takes it."""
    import torch

    return int(torch.cuda.current_stream().cuda_stream) if DEVICE == "cuda" else 0
