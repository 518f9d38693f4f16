"""The attention that is checked and timed: shapes, contents, and the reference in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from benchmarks.gpu import place

TILES = (
    "auto",
    "rows128",
    "rows64",
    "rows32",
    "rows16",
    "rows16_resident",
)  # attention.h, by number
CONTENTS = ("normal", "outliers", "constant", "bias", "minus_60000", "mask")
GATES = {"float16": 5e-4, "bfloat16": 4e-3}  # relative L2 error
SCALE_OF_OUTLIERS = 8.0


@dataclass(frozen=True, slots=True)
class AttentionCase:
    """One attention.

    Attributes:
        batch: Images.
        tokens: Of an image.
        heads: Of a token.
        head_dim: Of a head.
        dtype: "float16" or "bfloat16".
        content: One of `CONTENTS`; "bias" and "minus_60000" have an additive bias, "mask" hides
            three keys of ten and all keys of the first image.
        tile: One of `TILES`.
    """

    batch: int
    tokens: int
    heads: int
    head_dim: int = 64
    dtype: str = "float16"
    content: str = "normal"
    tile: str = "auto"

    @property
    def flops(self) -> int:
        """Of both products, without padding."""
        return 4 * self.batch * self.heads * self.tokens**2 * self.head_dim

    @property
    def bytes(self) -> int:
        """Read and written once: qkv and the output."""
        return 4 * self.batch * self.tokens * self.heads * self.head_dim * 2

    @property
    def name(self) -> str:
        """Short and unique among cases."""
        shape = f"B{self.batch} N{self.tokens} H{self.heads} D{self.head_dim}"
        return f"{shape} {self.dtype} {self.content} {self.tile}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def correctness_cases() -> Iterator[AttentionCase]:
    """Every tile on every awkward length; then contents, types and head dimensions."""
    lengths = (1, 17, 64, 65, 196, 197, 198, 577)
    for tokens, batch, heads, tile in product(lengths, (1, 3, 8), (6, 12), TILES):
        yield AttentionCase(batch, tokens, heads, tile=tile)
    for content, tokens, dtype, tile in product(CONTENTS, (65, 197, 577), GATES, TILES):
        yield AttentionCase(2, tokens, 6, dtype=dtype, content=content, tile=tile)
    for head_dim, tokens, tile in product((32, 48, 96, 128), (17, 197, 1025), TILES):
        yield AttentionCase(2, tokens, 3, head_dim, tile=tile)
    yield AttentionCase(1, 4096, 2)


def timing_cases() -> Iterator[AttentionCase]:
    """What the goals are about, then ViT at 384 pixels."""
    for batch, heads in product((1, 8), (3, 6, 12)):
        yield AttentionCase(batch, 197, heads)
    for batch, heads in product((1, 8), (6, 12)):
        yield AttentionCase(batch, 577, heads)


def inputs_of(case: AttentionCase, seed: int) -> tuple[Any, Any]:
    """Packed qkv [batch, tokens, 3, heads, head_dim] and the bias (or None) on the device."""
    import torch

    random = place.randomness(seed)
    shape = (case.batch, case.tokens, 3, case.heads, case.head_dim)
    qkv = place.normal(random, *shape)
    if case.content == "outliers":
        spikes = torch.rand(shape, generator=random, device=place.DEVICE) < 0.01
        qkv = torch.where(spikes, qkv * SCALE_OF_OUTLIERS, qkv)
    elif case.content == "constant":
        qkv[:] = qkv[:, :1]  # all tokens alike: every weight is 1 / tokens
    return qkv.to(getattr(torch, case.dtype)), _bias_of(case, random)


def _bias_of(case: AttentionCase, random: Any) -> Any:
    """[heads, tokens, even stride], what lies behind the tokens being NaN."""
    import torch

    if case.content not in ("bias", "minus_60000"):
        return None
    stride = case.tokens + 2 + case.tokens % 2
    bias = place.normal(random, case.heads, case.tokens, stride)
    if case.content == "minus_60000":
        masked = torch.rand(bias.shape, generator=random, device=place.DEVICE) < 0.5
        masked[..., 0] = False
        bias = torch.where(masked, -60000.0, bias)
    bias[..., case.tokens :] = torch.nan
    return bias.to(getattr(torch, case.dtype))


def mask_of(case: AttentionCase, seed: int) -> Any:
    """The key mask [batch, more than tokens], uint8 on the device, or None."""
    import torch

    if case.content != "mask":
        return None
    size = (case.batch, case.tokens + 3)
    kept = torch.rand(size, generator=place.randomness(seed), device=place.DEVICE) < 0.7
    kept[0] = False
    return kept.to(torch.uint8)


def reference_of(case: AttentionCase, qkv: Any, bias: Any = None, mask: Any = None) -> Any:
    """The output in float64, [batch, tokens, heads, head_dim]."""
    import torch

    query, key, value = qkv.double().permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, N, D] each
    scores = query @ key.transpose(-1, -2) * case.head_dim**-0.5
    if bias is not None:
        scores += bias[..., : case.tokens].double()
    if mask is not None:
        scores.masked_fill_(mask[:, None, None, : case.tokens] == 0, -torch.inf)
    weights = torch.softmax(scores, -1).nan_to_num_(0.0)  # NaN: no key is left
    return (weights @ value).transpose(1, 2)
