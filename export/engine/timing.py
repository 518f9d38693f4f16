"""The file in which TensorRT keeps what it measured, so that the next build measures less."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

from export.engine.job import Message, Note
from export.engine.surface import IBuilderConfig
from sdk.errors import SinkError


def load_timings(config: IBuilderConfig, path: Path, send: Callable[[Message], None]) -> None:
    """Give the builder what earlier builds measured; start anew where that is of no use.

    Args:
        config: The build's configuration.
        path: The file; it need not be there.
        send: Gets a note where the file is of another GPU or version.
    """
    known = path.read_bytes() if path.is_file() else b""
    timings = config.create_timing_cache(known)
    if timings is not None and config.set_timing_cache(timings, False):
        return
    if known:
        send(Note(f"{path} holds timings of another GPU or TensorRT; it is written anew"))
    fresh = config.create_timing_cache(b"")
    if fresh is not None:
        config.set_timing_cache(fresh, False)


def save_timings(config: IBuilderConfig, path: Path) -> None:
    """Write what the builder knows now, complete or not at all.

    Args:
        config: The build's configuration.
        path: The file.

    Raises:
        SinkError: It cannot be written.
    """
    timings = config.get_timing_cache()
    if timings is None:
        return
    draft = path.with_name(f".{path.name}.{token_hex(6)}.part")
    try:
        try:
            draft.write_bytes(memoryview(timings.serialize()))
            os.replace(draft, path)  # noqa: PTH105
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(
            f"The timing cache {path} cannot be written: {error.strerror}.",
            hint="Choose another file with --timing-cache.",
        ) from error
