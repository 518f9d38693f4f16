"""Device memory with guards around it, and outputs that start as poison."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu import place

GUARD = 4096  # bytes before and behind
_PATTERN = 0xA5  # of the guards
_POISON = 0xFF  # NaN in fp16, bf16 and fp32; 255 in uint8


class Guarded:
    """A packed tensor amid guard bytes.

    Args:
        shape: Of the tensor.
        dtype: A torch.dtype.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        import torch

        self._bytes = torch.empty(0, dtype=dtype).element_size()
        for length in shape:
            self._bytes *= length
        size = self._bytes + 2 * GUARD
        self._memory = torch.full((size,), _PATTERN, dtype=torch.uint8, device=place.DEVICE)
        inner = self._memory[GUARD : GUARD + self._bytes]
        self.tensor = inner.view(dtype).reshape(shape)
        self.poison()

    def poison(self) -> None:
        """Make every element NaN (or 255)."""
        self._memory[GUARD : GUARD + self._bytes] = _POISON

    def intact(self) -> bool:
        """Whether nothing wrote beyond the tensor."""
        before, behind = self._memory[:GUARD], self._memory[GUARD + self._bytes :]
        return bool((before == _PATTERN).all() and (behind == _PATTERN).all())

    @classmethod
    def holding(cls, tensor: Any) -> Guarded:
        """A guarded copy of an input."""
        guarded = cls(tuple(tensor.shape), tensor.dtype)
        guarded.tensor.copy_(tensor)
        return guarded


def errors(out: Any, expected: Any) -> dict[str, float]:
    """Relative L2 and largest absolute error against float64; NaN where the output has NaN."""
    difference = out.double() - expected
    norm = expected.norm().item()
    return {
        "rel_l2": difference.norm().item() / (norm if norm > 0 else 1.0),
        "max_abs": difference.abs().max().item(),
    }
