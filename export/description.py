"""What people must say about a model before it becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from sdk.errors import UsageError
from sdk.manifest import Provenance, ViewInput


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of a manifest that no tool can find out; see `sdk.manifest.Manifest`.

    Attributes:
        id: The model's name.
        version: The model's version.
        description: One sentence for a list of models.
        views: The network's inputs in the order of its arguments.
        outputs: What it returns, in order.
        distortion_labels: One name per entry of `distortions`.
        licence: Licence of the model.
        sources: What weights and data it was made from.
    """

    id: str
    version: str
    description: str
    views: tuple[ViewInput, ...]
    licence: str
    sources: tuple[Provenance, ...]
    outputs: tuple[Literal["score", "mos", "sigma", "distortions"], ...] = ("score",)
    distortion_labels: tuple[str, ...] = ()


def read_description(path: Path) -> Description:
    """Read a description from a JSON file.

    Raises:
        UsageError: It cannot be read, or a field is missing, unknown or of a wrong type.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Description)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"Model description {path} cannot be used: {error}.") from error
