"""Partners whose tokens serve as noise: of similar quality and distant semantics.

Source: the idea is QFM-IQM's (arXiv 2312.06158). Its thresholds and distances are not known to us:
every number and formula here is our choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from iqa.qfm.memory import Memory

NO_PARTNER = -1
GATE_SAMPLE = 256  # entries that the width of the gate is estimated on


@dataclass(frozen=True, slots=True)
class MatchSettings:
    """How partners are chosen.

    Attributes:
        gate_floor: Smallest half-width of the quality gate.
        gate_share: Share of the memory's pairs that the gate is wide enough for.
        furthest: Candidates, the semantically furthest inside the gate.
        temperature: Of the draw among them; lower prefers the furthest.
        fallback: Candidates by quality where nothing is inside the gate.
    """

    gate_floor: float = 0.02
    gate_share: float = 0.05
    furthest: int = 8
    temperature: float = 0.1
    fallback: int = 32


Matcher = Callable[[Tensor, Tensor, Tensor, Memory, MatchSettings, torch.Generator], Tensor]


def match(
    quality: Tensor,
    key: Tensor,
    dataset: Tensor,
    memory: Memory,
    settings: MatchSettings,
    generator: torch.Generator,
) -> Tensor:
    """Draw one partner for each sample among the semantically furthest of similar quality.

    Args:
        quality: ``[B]``.
        key: ``[B, K]``.
        dataset: ``[B]``.
        memory: With at least one entry.
        settings: Width of the gate and number of candidates.
        generator: Of the draw.

    Returns:
        ``[B]`` rows of the memory; :data:`NO_PARTNER` where it has nothing of the data set.
    """
    gap = (quality[:, None] - memory.quality[None]).abs()  # [B, M]
    same = dataset[:, None] == memory.dataset[None]
    inside = same & (gap <= gate_width(memory, settings))
    inside = torch.where(inside.any(1, keepdim=True), inside, _nearest(gap, same, settings))
    distance = 1 - F.normalize(key.float(), dim=-1) @ memory.key.T
    top = distance.masked_fill(~inside, -torch.inf).topk(min(settings.furthest, len(memory)))
    share = torch.softmax(top.values / settings.temperature, dim=-1)
    found = inside.any(1)
    share = torch.where(found[:, None], share, torch.ones_like(share))  # no NaN for multinomial
    drawn = torch.multinomial(share, 1, generator=generator)
    return torch.where(found, top.indices.gather(1, drawn)[:, 0], NO_PARTNER)


def match_at_random(
    quality: Tensor,
    key: Tensor,  # noqa: ARG001 - the control looks at neither
    dataset: Tensor,
    memory: Memory,
    settings: MatchSettings,  # noqa: ARG001
    generator: torch.Generator,
) -> Tensor:
    """The negative control of :func:`match`: any entry of the same data set."""
    same = (dataset[:, None] == memory.dataset[None]).float()  # [B, M]
    found = same.any(1)
    share = torch.where(found[:, None], same, torch.ones_like(same))
    drawn = torch.multinomial(share, 1, generator=generator)[:, 0]
    return torch.where(found, drawn, torch.full_like(quality, NO_PARTNER, dtype=torch.int64))


def match_nothing(
    quality: Tensor,
    key: Tensor,  # noqa: ARG001
    dataset: Tensor,  # noqa: ARG001
    memory: Memory,  # noqa: ARG001
    settings: MatchSettings,  # noqa: ARG001
    generator: torch.Generator,  # noqa: ARG001
) -> Tensor:
    """No partner for anyone: the same training without noise, to compare with."""
    return torch.full_like(quality, NO_PARTNER, dtype=torch.int64)


def gate_width(memory: Memory, settings: MatchSettings) -> float:
    """Half-width of the quality gate: a low quantile of the memory's differences, at least the
    floor. Estimated on evenly spaced entries when there are many.
    """
    stride = -(-len(memory) // GATE_SAMPLE)
    quality, dataset = memory.quality[::stride], memory.dataset[::stride]
    first, second = torch.triu_indices(len(quality), len(quality), 1)
    same = dataset[first] == dataset[second]
    gaps = (quality[first] - quality[second]).abs()[same]
    if not len(gaps):
        return settings.gate_floor
    return max(settings.gate_floor, float(torch.quantile(gaps, settings.gate_share)))


def _nearest(gap: Tensor, same: Tensor, settings: MatchSettings) -> Tensor:
    """Mask ``[B, M]`` of the entries nearest in quality; none where no data set agrees."""
    ranked = gap.masked_fill(~same, torch.inf)
    chosen = ranked.topk(min(settings.fallback, gap.shape[1]), largest=False).indices
    return torch.zeros_like(same).scatter(1, chosen, True) & same
