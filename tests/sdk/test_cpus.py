from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdk.cpus import cpu_name, quota_cpus, usable_cpus


def test_affinity_bounds_the_count() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usable_cpus() == len(before)


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("1000 100000\n", 1),
        ("garbage\n", None),
        ("100000 0\n", None),
        ("", None),
    ],
)
def test_quota_of_a_container(tmp_path: Path, text: str, cpus: int | None) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(text)
    assert quota_cpus(path) == cpus


def test_no_quota_without_cgroups(tmp_path: Path) -> None:
    assert quota_cpus(tmp_path / "none") is None


def test_name_of_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Some CPU\n")
    assert cpu_name(path) == "Some CPU @ 2 GHz"
    path.write_text("processor : 0\n")  # as on many ARM boards
    assert cpu_name(path) == cpu_name(tmp_path / "none") == os.uname().machine
