"""Registers, spills, occupancy and instructions of the compiled kernels.

Budgets were set by tests/kernels/budgets.py. A kernel that takes 8 registers more, or of which
fewer blocks fit a multiprocessor, fails; so does any spill.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from . import budgets
from .emulated import EMULATION, KERNELS, Workshop
from .static_facts import (
    MULTIPROCESSORS,
    Facts,
    compile_cubin,
    disassemble,
)

MAIN_KERNELS = 22  # in main_kernels.cu


@pytest.mark.parametrize("source", budgets.ALL, ids=lambda path: path.stem)
def test_every_kernel_on_sm_80(source: Path, tmp_path: Path) -> None:
    _, facts = compile_cubin(source, "80", tmp_path)
    assert facts
    assert budgets.violations("80", facts) == []


@pytest.mark.parametrize("architecture", MULTIPROCESSORS)
def test_main_kernels_on_every_architecture(architecture: str, tmp_path: Path) -> None:
    cubin, facts = compile_cubin(budgets.MAIN, architecture, tmp_path)
    assert len(facts) == MAIN_KERNELS
    assert budgets.violations(architecture, facts) == []
    check_instructions(disassemble(cubin))


def check_instructions(kernels: Mapping[str, list[str]]) -> None:
    """Tensor cores, 16-byte copies past the registers, nothing kept in local memory, and shared
    memory known as such: no generic loads and stores."""
    assert len(kernels) == MAIN_KERNELS
    for name, instructions in kernels.items():
        used = {one.split()[1 if one.startswith("@") else 0] for one in instructions}
        assert not {one.split(".")[0] for one in used} & {"LDL", "STL", "LD", "ST"}, name
        copies = {one for one in used if one.startswith("LDGSTS")}
        assert all(".128" in one for one in copies), name
        if any(part in name for part in ("quantize", "norm", "gather")):
            continue  # no products there
        assert copies, name
        assert any(one.startswith("HMMA.16816.F32") for one in used), name
        assert any(one.startswith("IMMA.16832") for one in used) == ("Int8" in name), name
        assert any(one.startswith("LDSM") for one in used), name


def test_every_kernel_has_a_budget_on_every_architecture() -> None:
    """`budgets.py` writes none for a kernel that spills."""
    for name, budget in budgets.read().items():
        assert set(MULTIPROCESSORS) < set(budget), name


def test_compute_80_ptx_assembles_for_the_newest(tmp_path: Path) -> None:
    """What a GPU that came after this build would do with the PTX in it."""
    _, facts = compile_cubin(budgets.MAIN, "120", tmp_path, virtual="80")
    assert all(fact.spilled == 0 for fact in facts.values())


def test_footprints_are_what_the_library_says(workshop: Workshop) -> None:
    names = ["attention.cu", *(f"attention_{dim}.cu" for dim in (32, 48, 64, 96, 128))]
    sources = [KERNELS / "attention" / name for name in names]
    library = workshop.library("attention", [*sources, EMULATION / "attention_driver.cpp"])
    known = budgets.read()
    for dim in (32, 48, 64, 96, 128):
        listed = {
            budget["shared_bytes"]
            for name, budget in known.items()
            if "AttentionConfig" in name and budgets.numbers_of(name)[0] == dim
        }
        sizes = {library.handle.attention_shared_bytes_for(tile, dim) for tile in range(1, 6)}
        assert listed == sizes - {0}
    channel = [
        KERNELS / "channel_attention" / name
        for name in ("channel_attention.cu", "channel_196.cu", "channel_49.cu")
    ]
    library = workshop.library("channel", [*channel, EMULATION / "channel_driver.cpp"])
    for positions in (49, 196):
        listed = {
            budget["shared_bytes"]
            for name, budget in known.items()
            if "ChannelConfig" in name and budgets.numbers_of(name)[0] == positions
        }
        assert listed == {
            library.handle.channel_shared_bytes(tile, positions) for tile in range(1, 5)
        }


def test_a_spill_a_register_and_a_block_are_noticed() -> None:
    name, budget = next(iter(budgets.read().items()))
    registers = budget["80"]["registers"]
    assert budgets.violations("80", {name: Facts(registers, 0, 0)}) == []
    assert "spilled" in budgets.violations("80", {name: Facts(registers, 8, 4)})[0]
    assert "registers, were" in budgets.violations("80", {name: Facts(registers + 8, 0, 0)})[0]
    assert "no budget" in budgets.violations("80", {"another_kernel": Facts(32, 0, 0)})[0]
