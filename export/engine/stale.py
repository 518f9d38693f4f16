"""Which plans in the cache are of no use on this machine as it is now."""

from __future__ import annotations

from datetime import datetime, timezone

from export.engine.api import load_toolkit
from export.engine.entry import Entry
from export.engine.gpu import find_gpu
from sdk.errors import BackendError

_DAY_S = 86400


def staleness(entry: Entry) -> str:
    """Say why a plan would not be used; empty if it would.

    Args:
        entry: The plan.
    """
    if entry.info is None or entry.problem:
        return entry.problem
    recipe = entry.info.recipe
    try:
        version = load_toolkit(recipe.backend).version
    except BackendError:
        return f"{recipe.backend} is not installed"
    if version != recipe.version:
        return f"{recipe.backend} is {version} now"
    if not recipe.device:
        return ""
    gpu = find_gpu()
    if gpu is None or gpu.name != recipe.device:
        return f"made for {recipe.device}"
    return "" if gpu.driver == recipe.driver else f"the driver is {gpu.driver} now"


def age_days(entry: Entry) -> float:
    """Days since a plan was built, by its sidecar or, without one, by its folder."""
    if entry.info is None:
        built = datetime.fromtimestamp(entry.path.stat().st_mtime, timezone.utc)
    else:
        built = datetime.fromisoformat(entry.info.created)
    return (datetime.now(timezone.utc) - built).total_seconds() / _DAY_S
