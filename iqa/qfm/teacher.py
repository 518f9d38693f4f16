"""Opinions of a teacher on unlabelled pictures: those that an ensemble agrees on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from iqa.qfm.protocol import TokenModel

AGREEMENT = 0.05  # standard deviation of the ensemble, on qualities 0 to 1; our choice


@torch.no_grad()
def pseudo_labels(
    teachers: Sequence[TokenModel], inputs: object, limit: float = AGREEMENT
) -> tuple[Tensor, Tensor]:
    """Mean score of several teachers, and where they agree.

    Args:
        teachers: At least two, in evaluation mode, such as one network from several seeds.
        inputs: One batch, of what their ``tokens`` takes.
        limit: Largest standard deviation (population) of an agreement.

    Returns:
        Scores ``[B]`` and a mask ``[B]`` of those to be used.
    """
    scores = torch.stack([t.head(t.tokens(inputs)).score for t in teachers])
    return agreement(scores, limit)


def agreement(scores: Tensor, limit: float = AGREEMENT) -> tuple[Tensor, Tensor]:
    """Means ``[B]`` of teachers' scores ``[T, B]``, and where their deviation is below ``limit``.

    A single teacher always agrees.
    """
    return scores.mean(0), scores.std(0, correction=0) < limit
