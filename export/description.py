"""What people must say about a model before it becomes a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sdk.errors import UsageError
from sdk.manifest import OutputName, Provenance, ViewInput, contradiction_of_labels, labels_of


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The part of a manifest that no tool can find out; see `sdk.manifest.Manifest`.

    Attributes:
        id: The model's name.
        version: The model's version.
        description: One sentence for a list of models.
        views: The network's inputs in the order of its arguments.
        outputs: What it returns, in order.
        distortion_labels: One name per entry of `distortions`.
        uncertainty_labels: One name per entry of `uncertainty`, first "task".
        scene_labels: One name per entry of `scenes`.
        abstain_above: Sigma above which the model's score should not be trusted; None for never.
        licence: Licence of the model.
        sources: What weights and data it was made from.
    """

    id: str
    version: str
    description: str
    views: tuple[ViewInput, ...]
    licence: str
    sources: tuple[Provenance, ...]
    outputs: tuple[OutputName, ...] = ("score",)
    distortion_labels: tuple[str, ...] = ()
    uncertainty_labels: tuple[str, ...] = ()
    scene_labels: tuple[str, ...] = ()
    abstain_above: float | None = None


def read_description(path: Path, defaults: Mapping[str, Any] | None = None) -> Description:
    """Read a description from a JSON file.

    Args:
        path: The file: an object with the fields of `Description`.
        defaults: Values of fields that the file leaves out.

    Raises:
        UsageError: It cannot be read, or a field is missing, unknown or of a wrong type.
    """
    return describe({**(defaults or {}), **read_fields(path)}, f"description {path}")


def read_fields(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UsageError: It cannot be read or is no object.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"Model description {path} cannot be used: {error}.") from error


def describe(fields: Mapping[str, Any], where: str) -> Description:
    """Make a description of its fields.

    Args:
        fields: Values by the names of `Description`'s fields.
        where: How messages call where they come from.

    Raises:
        UsageError: A field is missing, unknown or of a wrong type, or labels or what it says of
            the uncertainty contradict its outputs.
    """
    try:
        found = msgspec.convert(dict(fields), type=Description)
    except msgspec.MsgspecError as error:
        raise UsageError(f"Model {where} cannot be used: {error}.") from error
    reason = contradiction_of_labels(found.outputs, labels_of(found), found.abstain_above)
    if reason:
        raise UsageError(f"Model {where} cannot be used: {reason}.")
    return found
