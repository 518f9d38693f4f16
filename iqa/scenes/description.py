"""What is written beside weights that know scenes: figures, and the export's description."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iqa.models.glint_edge import OUTPUTS
from sdk.errors import SinkError, UsageError


def read_description(path: Path) -> dict[str, Any]:
    """The fields of a description.

    Raises:
        UsageError: The file cannot be read or is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"Model description {path} cannot be used: {error}.") from error
    if isinstance(found, dict):
        return found
    raise UsageError(
        f"Model description {path} is a JSON {type(found).__name__}, not an object.",
        hint="Give a copy of iqa/recipes/glint_edge.bundle.json.",
    )


def renew(path: Path, labels: Sequence[str]) -> None:
    """Name the output ``scenes`` and its labels in a description; other fields stay.

    Raises:
        UsageError: As :func:`read_description` does.
        SinkError: The file cannot be written.
    """
    fields = read_description(path)
    fields |= {"outputs": [*OUTPUTS, "scenes"], "scene_labels": list(labels)}
    write_json(path, fields)


def write_json(path: Path, fields: Mapping[str, Any]) -> None:
    """An object with indentation.

    Raises:
        SinkError: The file cannot be written.
    """
    text = json.dumps(fields, indent=2, ensure_ascii=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"{path} cannot be written: {error.strerror}.") from error
