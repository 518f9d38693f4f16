"""Which frames of a store suffer alike: those with the same label."""

from __future__ import annotations

import numpy as np

from iqa.data.store import Store


class Alike:
    """Finds frames with the same human mean and the same causes; others have no partner.

    Args:
        store: Labels.
    """

    def __init__(self, store: Store) -> None:
        rated = np.flatnonzero(store.weight == 1)
        labels = np.column_stack([store.mos, store.causes])[rated]
        _, kind = np.unique(labels, axis=0, return_inverse=True)
        kind = kind.reshape(-1)  # numpy 2.0 keeps the axis
        order = np.argsort(kind, kind="stable")
        alike = np.split(rated[order], np.flatnonzero(np.diff(kind[order])) + 1)
        self._alike = {row: rows for rows in alike for row in rows.tolist()}

    def __contains__(self, row: int) -> bool:
        """Whether a human mean is known of it."""
        return row in self._alike

    def partner(self, row: int, rng: np.random.Generator) -> int:
        """One of the frames that suffer as ``row`` does, now and then itself."""
        return int(rng.choice(self._alike[row]))
