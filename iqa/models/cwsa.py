"""Channel-wise self-attention (CWSA): channels attend to each other over the spatial positions.

Source: GlintIQA (arXiv 2408.03885) and its published code. The published module has three separate
projections; here they are one matrix ``[3N, N]`` with the same parameters, initialisation and
outputs. Ours, not the authors': the identity permutation as the default, the temperature, the
linearised form and the larger epsilon.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdk.errors import UsageError

NORM_EPS = 1e-6  # 1e-12 of the published code underflows in fp16
LINEAR_LOGIT = 1 / 7  # 1 + x is within 1.1 % of exp(x) up to here


class ChannelAttention(nn.Module):
    """Self-attention between channels, each a vector of ``positions`` values.

    The logits are cosines / sqrt(positions), at most 1/14 for 196 positions, so exp(x) may be
    replaced by 1 + x: the attention becomes two small products and no channels x channels matrix
    is formed. The error against the softmax is about 1e-5 of the output.

    Shapes: ``[B, C, N]`` in and out, with ``N = positions``.

    Args:
        positions: Length of a channel, 196 for a 14x14 grid.
        exact: Softmax as published; False is the linearised form.
        legacy_perm: Scramble the output as the published code does (see :func:`scramble`).
        temperature: Multiply the logits by a learnable scalar that starts at 1.
        dropout: Probability, between attention and norm; 0.5 in the published code.
    """

    def __init__(
        self,
        positions: int,
        *,
        exact: bool = False,
        legacy_perm: bool = False,
        temperature: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.qkv = nn.Linear(positions, 3 * positions)
        self.norm = nn.LayerNorm(positions)
        self.dropout = nn.Dropout(dropout)
        self.scale = positions**-0.5
        self.exact = exact
        self.legacy_perm = legacy_perm
        self.temperature = nn.Parameter(torch.ones(())) if temperature else None
        self.register_load_state_dict_post_hook(_check_loaded)
        if not exact:
            self.linearise()

    def forward(self, x: Tensor) -> Tensor:
        attend = self.attend_exact if self.exact else self.attend
        mixed = attend(*self.project(x))
        if self.legacy_perm:
            mixed = scramble(mixed)
        return self.norm(self.dropout(mixed)) + x

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unit-length queries and keys, and values, each ``[B, C, N]``."""
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        return (
            F.normalize(query, dim=-1, eps=NORM_EPS),
            F.normalize(key, dim=-1, eps=NORM_EPS),
            value,
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Linearised attention, ``[B, C, N]``."""
        context = key.transpose(-1, -2) @ value * self._scale()  # [B, N, N]
        total = key.sum(dim=-2, keepdim=True).transpose(-1, -2) * self._scale()  # [B, N, 1]
        numerator = value.sum(dim=-2, keepdim=True) + query @ context  # [B, C, N]
        return numerator / (value.shape[-2] + query @ total)

    def attend_exact(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Softmax attention as published, ``[B, C, N]``."""
        logits = query @ key.transpose(-1, -2) * self._scale()  # [B, C, C]
        return torch.softmax(logits, dim=-1) @ value

    def linearise(self) -> ChannelAttention:
        """Use the linearised form from now on, with the temperature as it is.

        Raises:
            UsageError: The temperature lets logits grow beyond what 1 + x stands for.
        """
        if (bound := self.logit_bound()) > LINEAR_LOGIT * (1 + 1e-6):
            raise UsageError(
                f"Channel attention cannot be linearised: its logits reach {bound:.3f}, and "
                f"1 + x stands for exp(x) up to {LINEAR_LOGIT:.3f} only.",
                hint=f"Keep the exact form, or a temperature of at most "
                f"{LINEAR_LOGIT / self.scale:.2f}.",
            )
        self.exact = False
        if self.temperature is not None:
            self.temperature.requires_grad_(False)  # or it could leave the bound unnoticed
        return self

    def logit_bound(self) -> float:
        """The largest absolute logit that any input can give."""
        factor = 1.0 if self.temperature is None else abs(float(self.temperature.detach()))
        return factor * self.scale

    def _scale(self) -> float | Tensor:
        return self.scale if self.temperature is None else self.temperature * self.scale


def scramble(x: Tensor) -> Tensor:
    """The published code's ``perm``: transpose ``[B, C, N]``, then read it as ``[B, C, N]`` again.

    ``out[c', n'] = x[f mod C, f div C]`` with ``f = c' * N + n'``. It looks like a left-over; kept
    for checkpoints trained with it and for the ablation.
    """
    return x.transpose(-1, -2).reshape(x.shape)


def _check_loaded(module: nn.Module, _: object) -> None:
    """A linear form stays valid only while the temperature does."""
    if isinstance(module, ChannelAttention) and not module.exact:
        module.linearise()
