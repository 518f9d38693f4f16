"""Labelled training pictures made when they are asked for; nothing distorted is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iqa.distortions import kadid
from iqa.saqt.pictures import Picture, choose, find_pictures
from iqa.saqt.scores import LEVELS, TOP, read_scores
from iqa.saqt.tables import read_matches
from iqa.saqt.transfer import transfer
from sdk.errors import UsageError


@dataclass(frozen=True, slots=True)
class Sample:
    """A distorted picture, uint8 RGB ``[H, W, 3]``, and its transferred label, 0 to 9."""

    image: NDArray[np.uint8]
    source: str
    kind: int
    level: int
    label: float

    @property
    def quality(self) -> float:
        """The label on 0 to 1."""
        return self.label / TOP


class TransferredSet:
    """Every source under KADID's 25 types and 5 levels, made on the fly.

    Args:
        pictures: The sources.
        labels: ``[S, 25, 5]``, 0 to 9, of the sources in their order.
        seed: Decides every random draw together with the sample's number.
    """

    def __init__(
        self, pictures: Sequence[Picture], labels: NDArray[np.float64], seed: int = 0
    ) -> None:
        settings = (len(pictures), len(kadid.TYPES), LEVELS)
        if labels.shape != settings:
            raise ValueError(f"Labels of shape {labels.shape}; these pictures need {settings}.")
        self.pictures, self.labels, self.seed = pictures, labels, seed

    @classmethod
    def from_tables(
        cls, sources: Path, matches: Path, scores: Path, seed: int = 0
    ) -> TransferredSet:
        """What ``python -m iqa.saqt match`` prepared, or a published match table.

        Args:
            sources: The folder of undistorted pictures.
            matches: The match table, CSV or Parquet; it decides which pictures are taken.
            scores: As for :func:`~iqa.saqt.scores.read_scores`; of KADID's 25 types.
            seed: As for the class.

        Raises:
            UsageError: A file or a picture is missing or unfit; the message names it.
        """
        found, rated = read_matches(matches), read_scores(scores)
        if rated.values.shape[1] != len(kadid.TYPES):
            raise UsageError(
                f"Scores {scores} are of {rated.values.shape[1]} distortion types; pictures are "
                f"distorted by KADID's {len(kadid.TYPES)}.",
                hint="Give KADID-10k's dmos.csv.",
            )
        chosen = choose(find_pictures(sources), found.sources)
        place = {name: row for row, name in enumerate(found.sources)}
        rows = [place[picture.name] for picture in chosen]
        return cls(chosen, transfer(found, rated)[rows], seed)

    def __len__(self) -> int:
        return self.labels.size

    def __getitem__(self, number: int) -> Sample:
        """Sample ``number``; the same number always gives the same pixels."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        source, kind, level = (int(i) for i in np.unravel_index(number, self.labels.shape))
        picture = self.pictures[source]
        rng = np.random.default_rng([self.seed, number])
        clean = kadid.from_bytes(picture.read())
        image = kadid.to_bytes(kadid.distort(clean, kind + 1, level + 1, rng))
        label = float(self.labels[source, kind, level])
        return Sample(image, picture.name, kind + 1, level + 1, label)
