"""Semantic-aligned quality transfer: a picture takes the scores of the rated ones it resembles.

Source: the SAQT pipeline of GlintIQA's published code, which takes the single most similar
reference, copies its scores and asks for no least similarity. Ours, not the authors': the mean of
the k most similar, weighted by similarity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iqa.saqt.scores import Scores

BLOCK = 4096  # sources compared at once


@dataclass(frozen=True, slots=True)
class Matches:
    """The k most similar references of each source, best first.

    Attributes:
        sources: Names, ``[S]``.
        references: Names, ``[R]``.
        rows: ``[S, k]`` indices of references.
        similarity: ``[S, k]`` cosines.
    """

    sources: tuple[str, ...]
    references: tuple[str, ...]
    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]


def retrieve(
    sources: tuple[str, ...],
    source_features: NDArray[np.float32],
    references: tuple[str, ...],
    reference_features: NDArray[np.float32],
    k: int = 1,
) -> Matches:
    """Find the references with the highest cosine.

    Args:
        sources: Names of the rows of ``source_features``.
        source_features: ``[S, D]`` of unit length.
        references: Names of the rows of ``reference_features``.
        reference_features: ``[R, D]`` of unit length.
        k: 1 as published; at most R.
    """
    rows, values = [], []
    for start in range(0, len(sources), BLOCK):
        cosine = source_features[start : start + BLOCK] @ reference_features.T  # [block, R]
        best = np.argsort(-cosine, axis=1, kind="stable")[:, :k]  # the first of equals
        rows.append(best)
        values.append(np.take_along_axis(cosine, best, axis=1))
    return Matches(sources, references, np.concatenate(rows), np.concatenate(values))


def transfer(matches: Matches, scores: Scores) -> NDArray[np.float64]:
    """Labels ``[S, types, 5]`` of the sources, 0 to 9 over all the references of ``scores``.

    With one match a copy; with several a mean weighted by similarity, of which negative ones count
    nothing (all alike where none is positive).
    """
    of_matched = scores.rescaled().of(matches.references).values  # [R, types, 5]
    weight = np.maximum(matches.similarity.astype(np.float64), 0)
    weight = np.where(weight.sum(1, keepdims=True) > 0, weight, 1.0)
    weight /= weight.sum(1, keepdims=True)
    return np.einsum("sk,sktl->stl", weight, of_matched[matches.rows])
