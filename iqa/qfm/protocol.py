"""What a model must offer to be trained with semantic noise: tokens, and a head that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Tokens(NamedTuple):
    """What the head reads.

    Attributes:
        patches: ``[B, N, D]``, to which noise is added; contiguous, so that noise of strength 0
            leaves the score as it is to the last bit.
        context: ``[B, C]``, such as a class token, which stays as it is; None without one.
    """

    patches: Tensor
    context: Tensor | None = None


class Opinion(NamedTuple):
    """What the head makes of tokens.

    Attributes:
        score: ``[B]``, 0 to 1 on the scale of the labels, not clipped.
        hidden: ``[B, ...]``, the feature that the score is read from.
    """

    score: Tensor
    hidden: Tensor


class TokenModel(Protocol):
    """A network cut where noise can enter.

    The head must not begin with a mean over tokens and stay linear up to it: the noise has no mean
    over tokens, so such a head would never see it.
    """

    def tokens(self, inputs: Any) -> Tokens:
        """Everything up to the cut."""
        ...

    def head(self, tokens: Tokens) -> Opinion:
        """Everything after the cut."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Labelled samples, or unlabelled ones with a teacher's opinion.

    Attributes:
        inputs: What the model's ``tokens`` takes.
        quality: ``[B]``, 0 to 1: opinions, or the teacher's scores.
        key: ``[B, K]``, what the picture shows, from a frozen network; of any length.
        dataset: ``[B]``, integers; qualities are compared within one data set only.
        teacher: ``[B, T]``, the teacher's feature; None without one.
    """

    inputs: Any
    quality: Tensor
    key: Tensor
    dataset: Tensor
    teacher: Tensor | None = None
