"""The budget file of the kernels, and how it is written.

    python -m tests.kernels.budgets      compiles everything for every architecture (many minutes)
                                         and writes budgets.json, unless something spills

For each kernel: threads of a block, dynamic shared memory in bytes, and for each architecture the
registers of a thread and the blocks that fit a multiprocessor.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from .emulated import KERNELS
from .static_facts import MULTIPROCESSORS, Facts, blocks_per_multiprocessor, compile_cubin

PATH = Path(__file__).with_suffix(".json")

SLACK = 7  # registers: other versions of ptxas give other numbers

# The tests compile these for every architecture, and the rest for sm_80.
MAIN = Path(__file__).parent / "static" / "main_kernels.cu"
ALL = (
    *(KERNELS / "attention" / f"attention_{dim}.cu" for dim in (32, 48, 64, 96, 128)),
    KERNELS / "attention" / "attention_int8.cu",
    *(KERNELS / "channel_attention" / f"channel_{positions}.cu" for positions in (49, 196)),
    KERNELS / "layer_norm" / "layer_norm.cu",
    KERNELS / "preprocess" / "preprocess.cu",
)


def read() -> dict[str, Any]:
    return dict(json.loads(PATH.read_text()))


def violations(architecture: str, facts: Mapping[str, Facts]) -> list[str]:
    """What is beyond the budget, in words."""
    found = []
    known = read()
    for name, fact in facts.items():
        where = f"{name} on sm_{architecture}"
        if fact.spilled or fact.stack:
            found.append(f"{where}: {fact.spilled} bytes spilled, {fact.stack} of stack")
        if name not in known or architecture not in known[name]:
            found.append(f"{where}: no budget")
            continue
        budget = known[name]
        limit = budget[architecture]
        blocks = blocks_per_multiprocessor(
            architecture, fact.registers, budget["threads"], budget["shared_bytes"]
        )
        if fact.registers > limit["registers"] + SLACK:
            found.append(f"{where}: {fact.registers} registers, were {limit['registers']}")
        if blocks < limit["blocks"]:
            found.append(f"{where}: {blocks} blocks fit, were {limit['blocks']}")
    return found


def numbers_of(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"(?<![\w])\d+(?![\w])", name)]


def footprint(name: str) -> tuple[int, int]:
    """Threads and dynamic shared bytes of a kernel, from the arguments in its name.

    The formulas of the configs, written once more; test_budgets.py compares them with what the
    library says.
    """
    numbers = numbers_of(name)
    if "AttentionConfig" in name:
        dim, warps_q, warps_kv, row_blocks, keys, stages = numbers[:6]
        ring = stages * 2 * warps_kv * keys * dim * 2
        merge = warps_q * warps_kv * (dim // 8 + 1) * 512 if warps_kv > 1 else 0
        rows = warps_q * 16 * row_blocks
        return warps_q * warps_kv * 32, rows * dim * 2 + max(ring, merge)
    if "Int8Config" in name:
        dim, warps_q, warps_kv, keys = numbers[:4]
        ring = 2 * warps_kv * keys * dim * 3
        merge = warps_q * warps_kv * (dim // 8 + 1) * 512 if warps_kv > 1 else 0
        return warps_q * warps_kv * 32, warps_q * 16 * dim * 2 + max(ring, merge)
    if "QuantizeConfig" in name:
        chunks = numbers[0] // 8
        return 256, 2 * (256 * 16 + 64) + 2 * chunks * 16
    if "layer_norm" in name or "gather" in name:
        return 128 if "layer_norm" in name else 256, 0
    row_bytes = (numbers[0] + 15) // 16 * 32
    if "ChannelConfig" in name:
        _, warps_q, warps_kv, keys, stages = numbers[:5]
        rows, tile_keys = warps_q * 16, warps_kv * keys
        shared = rows * row_bytes + stages * 2 * tile_keys * row_bytes + (rows + tile_keys) * 4
        return warps_q * warps_kv * 32, shared
    if "GramConfig" in name:
        return 128, 3 * 2 * 64 * numbers[1] * 2
    if "LinearOutputConfig" in name:
        rows = numbers[1] * 16
        return numbers[1] * 32, rows * row_bytes + 3 * 16 * row_bytes + rows * 4
    return 256, 0  # key_norms_kernel


def add(budgets: dict[str, Any], architecture: str, facts: dict[str, Facts]) -> None:
    for name, fact in facts.items():
        assert fact.spilled == fact.stack == 0, f"{name} spills on sm_{architecture}"
        threads, shared = footprint(name)
        blocks = blocks_per_multiprocessor(architecture, fact.registers, threads, shared)
        budget = budgets.setdefault(name, {"threads": threads, "shared_bytes": shared})
        budget[architecture] = {"registers": fact.registers, "blocks": blocks}


def write() -> None:
    budgets: dict[str, Any] = {}
    pairs = list(product(ALL, MULTIPROCESSORS))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:

        def compile_one(pair: tuple[Path, str]) -> dict[str, Facts]:
            return compile_cubin(*pair, Path(folder))[1]

        for (_, architecture), facts in zip(pairs, pool.map(compile_one, pairs), strict=True):
            add(budgets, architecture, facts)
    lines = (f"  {json.dumps(name)}: {json.dumps(budgets[name])}" for name in sorted(budgets))
    PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write()
