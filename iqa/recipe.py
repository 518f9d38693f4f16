"""A training recipe: every number that decides the outcome, read from a TOML file."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of one training run; see ``recipes/glint_edge.toml`` for their meaning."""

    seed: int
    groups: int
    blocks: int
    mlp_ratio: int
    batch_groups: int
    steps: int
    warmup: int
    decay_share: float
    lr: float
    lr_pretrained: float
    weight_decay: float
    clip: float
    ema: float
    log_every: int
    save_every: int
    weights: dict[str, float]

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Parse a recipe file.

        Raises:
            msgspec.ValidationError: A field is missing, unknown or of the wrong type; the message
                names it.
        """
        return msgspec.toml.decode(path.read_bytes(), type=cls)
