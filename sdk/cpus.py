"""The CPUs of this process: how many it may use, containers included, and their name."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # cgroup v2: "max 100000" or "150000 100000"


def usable_cpus() -> int:
    """Count the CPUs of this process's affinity mask."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota_cpus(path: Path = _QUOTA) -> int | None:
    """Read a container's CPU quota (docker --cpus), rounded up; None where there is none.

    Args:
        path: The cgroup's `cpu.max`.
    """
    try:
        quota, period = path.read_text().split()
        return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def cpu_name(path: Path = Path("/proc/cpuinfo")) -> str:
    """Return the CPU's name for people, or its architecture where the system does not tell.

    Args:
        path: Linux's list of CPUs.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError):
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.machine()
