"""Plans for other programs: the file as TensorRT wrote it, without anything before or behind it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from secrets import token_hex

from export.engine.entry import PLAN, Entry
from sdk.bundle import Bundle
from sdk.errors import BackendError, BundleError, SinkError, UsageError


def find_entry(entries: Sequence[Entry], name: str) -> Entry:
    """Find the plan that a name means.

    Args:
        entries: What is in the cache.
        name: An entry's name, or a bundle of which there is one engine.

    Raises:
        UsageError: None is called so, or the bundle has several.
        BackendError: The plan is damaged.
    """
    found = [entry for entry in entries if entry.path.name == name] or _of_bundle(entries, name)
    if len(found) > 1:
        names = "\n  ".join(entry.path.name for entry in found)
        raise UsageError(f"{name} has {len(found)} engines.", hint=f"Name one:\n  {names}")
    entry = found[0]
    if entry.problem:
        raise BackendError(
            f"The engine {entry.path.name} cannot be used: {entry.problem}.", hint="Build it again."
        )
    return entry


def copy_plan(entry: Entry, output: Path) -> None:
    """Write a plan to a file, complete or not at all.

    Raises:
        SinkError: It cannot be written.
    """
    draft = output.with_name(f".{output.name}.{token_hex(6)}.part")
    try:
        try:
            draft.write_bytes((entry.path / PLAN).read_bytes())
            os.replace(draft, output)  # noqa: PTH105
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(
            f"{output} cannot be written: {error.strerror or error}.",
            hint="Check the directory, its permissions and the free space.",
        ) from error


def _of_bundle(entries: Sequence[Entry], name: str) -> list[Entry]:
    """Return the entries whose graph is one of a bundle's."""
    try:
        bundle = Bundle.load(name)
    except BundleError as error:
        raise UsageError(
            f"{name} is neither an engine nor a bundle: {error.message}",
            hint="See: framescore engine list",
        ) from error
    graphs = {hashlib.sha256(bundle.members[g.file]).hexdigest() for g in bundle.graphs()}
    found = [entry for entry in entries if entry.info and entry.info.recipe.onnx_sha256 in graphs]
    if not found:
        raise UsageError(
            f"No engine of {name} is in the cache.",
            hint=f"Build it: framescore engine build {name}",
        )
    return found
