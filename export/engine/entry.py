"""One plan in the cache: a folder with the plan as TensorRT wrote it, a sidecar and a log."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import msgspec

from export.engine.plan import SCHEMA_VERSION, Built, Engine, PlanInfo
from export.engine.recipe import Recipe

PLAN: Final = "engine.plan"
SIDECAR: Final = "engine.json"
LOG: Final = "build.log"


@dataclass(frozen=True, slots=True)
class Entry:
    """A folder of the cache.

    Attributes:
        path: The folder.
        info: Its sidecar; None where that cannot be read.
        problem: Why its plan cannot be used; empty where it can.
    """

    path: Path
    info: PlanInfo | None
    problem: str

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.path.glob("*"))


def read_entry(path: Path) -> Entry:
    """Read and verify a folder of the cache.

    Args:
        path: The folder.
    """
    info = read_sidecar(path / SIDECAR)
    if info is None:
        return Entry(path, None, f"its {SIDECAR} is missing or damaged")
    try:
        plan = (path / PLAN).read_bytes()
    except OSError as error:
        return Entry(path, info, f"its plan cannot be read: {error.strerror}")
    if len(plan) != info.size:
        return Entry(path, info, f"its plan has {len(plan)} bytes instead of {info.size}")
    if hashlib.sha256(plan).hexdigest() != info.sha256:
        return Entry(path, info, "its plan is damaged: the checksum is another")
    if info.recipe.entry != path.name:
        return Entry(path, info, f"its sidecar is that of {info.recipe.entry}")
    return Entry(path, info, "")


def write_sidecar(folder: Path, recipe: Recipe, built: Built) -> PlanInfo:
    """Describe the plan that lies in a folder, there and to the caller."""
    data = (folder / PLAN).read_bytes()
    info = PlanInfo(
        recipe=recipe,
        built=built,
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    (folder / SIDECAR).write_bytes(msgspec.json.format(msgspec.json.encode(info)) + b"\n")
    return info


def load_engine(folder: Path, info: PlanInfo, *, from_cache: bool) -> Engine:
    """Return the engine of a folder."""
    plan = folder / PLAN
    return Engine(plan.read_bytes(), info, plan, folder / LOG, from_cache)


def read_sidecar(path: Path) -> PlanInfo | None:
    """Read a sidecar; None where there is none that this version can read."""
    try:
        info = msgspec.json.decode(path.read_bytes(), type=PlanInfo)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return info if info.schema_version <= SCHEMA_VERSION else None
