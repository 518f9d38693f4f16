"""What the figures were measured on, and whether it was free to measure."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from time import perf_counter
from typing import Any

import sdk
from sdk.cpus import quota_cpus, usable_cpus
from sdk.doctor import collect

_TICKS = os.sysconf("SC_CLK_TCK")  # a second


def describe_machine() -> dict[str, Any]:
    """Return what a reader needs to judge the figures, without paths or names of this host."""
    report = collect()
    packages = report["packages"].values()
    versions = {k: v for package in packages for k, v in package["versions"].items()}
    return {
        "cpu": report["cpu"],
        "cores": available_cores(),
        "memory_gib": report["memory"]["total_gib"],
        "platform": {key: report["platform"][key] for key in ("distribution", "machine")},
        "kernel": report["platform"]["release"].partition("-")[0],
        "python": report["python"]["version"],
        "framescore": sdk.__version__,
        "packages": dict(sorted(versions.items())),
    }


def available_cores() -> int:
    """Count the cores that a scorer would use."""
    return min(usable_cpus(), quota_cpus() or usable_cpus())


class Disturbance:
    """Watches how much of the processor others take while we measure."""

    def __init__(self) -> None:
        self.load_at_start = os.getloadavg()[0]
        self._start = perf_counter()
        self._busy, self._own = _busy_seconds(), _own_seconds()

    def report(self) -> dict[str, float]:
        """Return the load before, and the share of all cores that went to other processes.

        The hypervisor's share ("steal") counts as others'. In a container the count takes in the
        whole host.
        """
        elapsed = perf_counter() - self._start
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        share = max(0.0, others) / (elapsed * (os.cpu_count() or 1))
        return {
            "load_average_before": round(self.load_at_start, 2),
            "cores_taken_by_others": round(share, 3),
            "minutes": round(elapsed / 60, 1),
        }


def _busy_seconds() -> float:
    """Time that all cores together have not been idle, since the machine started."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    ticks = dict(zip(names, map(int, fields), strict=True))
    return (sum(ticks.values()) - ticks["idle"] - ticks["iowait"]) / _TICKS


def _own_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
