"""The export's description of weights that know scenes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iqa.models.glint_edge import OUTPUTS
from iqa.second_stage.files import read_text, write_json
from sdk.errors import UsageError


def read_description(path: Path) -> dict[str, Any]:
    """The fields of a description.

    Raises:
        UsageError: The file cannot be read or is no JSON object.
    """
    try:
        found = json.loads(read_text("Model description", path))
    except (json.JSONDecodeError, RecursionError) as error:
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
