"""Weights as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from iqa.whole_file import whole_file
from sdk.errors import SinkError


def write_tensors(
    path: Path, state: Mapping[str, Tensor], notes: dict[str, str] | None = None
) -> None:
    """Write tensors and notes; an error or a kill leaves the former file.

    Raises:
        SinkError: ``path`` cannot be written.
    """
    # save_file would hide it from the user's group
    data = save({name: value.detach().contiguous() for name, value in state.items()}, notes)
    try:
        with whole_file(path) as stream:
            stream.write(data)
    except OSError as error:
        raise SinkError(f"Weights {path} cannot be written: {error.strerror}.") from error
