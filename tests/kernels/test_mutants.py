"""Faults planted in the kernels must be found: otherwise their tests prove nothing.

Each mutant is the product's source with one piece of text replaced, compiled and run as the tests
of that kernel run it. It must show the symptom that its fault has: a result beyond the gate, a
race, a bank conflict, a launch that is stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from . import test_attention, test_attention_int8, test_channel_attention
from .emulated import EMULATION, KERNELS, Call, Library, Workshop
from .numbers import relative_error

WRONG, RACE, CONFLICT, STOPPED = "wrong", "race", "conflict", "stopped"


@dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    old: str
    new: str
    symptom: str

    def __str__(self) -> str:
        return self.name


RING, TILE = "device/ring.cuh", "device/tile.cuh"
SOFTMAX, EPILOGUE = "attention/online_softmax.cuh", "attention/epilogue.cuh"
ROWS, EXACT = "channel_attention/channel_rows.cuh", "channel_attention/channel_attention.cuh"
LINEAR, INT8 = "channel_attention/linear_attention.cuh", "attention/attention_int8.cuh"
QUANTIZE = "attention/quantize_qk.cuh"

STEP_WAIT = "copy_async_wait<kStages - 2>();\n      block_barrier();"

ATTENTION_MUTANTS = [
    Mutant("wait-for-one-group-less", RING, STEP_WAIT, STEP_WAIT.replace("- 2", "- 1"), RACE),
    Mutant("no-barrier-between-tiles", RING, STEP_WAIT, STEP_WAIT[:31], RACE),
    Mutant(
        "no-barrier-before-the-first-tile",
        RING,
        "copy_async_wait<(kStages > 2 ? kStages - 2 : 0)>();\n  block_barrier();",
        "copy_async_wait<(kStages > 2 ? kStages - 2 : 0)>();",
        RACE,
    ),
    Mutant(
        "one-key-too-many",
        SOFTMAX,
        "bool kept = key < tokens;",
        "bool kept = key <= tokens;",
        WRONG,
    ),
    Mutant("no-rescaling", SOFTMAX, "output[m][n][2 * i] *= shrink;", "", WRONG),
    Mutant(
        "rows-of-the-sum-swapped",
        EPILOGUE,
        "inverse_sum[i] = inverse_or_zero(row_sum(softmax.sum[m][i]))",
        "inverse_sum[i] = inverse_or_zero(row_sum(softmax.sum[m][1 - i]))",
        WRONG,
    ),
    Mutant(
        "no-sum-over-the-quad", EPILOGUE, "row_sum(softmax.sum[m][i])", "softmax.sum[m][i]", WRONG
    ),
    Mutant(
        "merge-scales-swapped",
        EPILOGUE,
        "total[2] += state[g].y *",
        "total[2] += state[g].x *",
        WRONG,
    ),
    Mutant(
        "no-barrier-before-the-merge",
        EPILOGUE,
        "block_barrier();  // the merge lies where K and V were",
        "",
        RACE,
    ),
    Mutant(
        "no-barrier-before-rows-are-written",
        EPILOGUE,
        "warp_barrier();\n  write_rows",
        "write_rows",
        RACE,
    ),
    Mutant(
        "no-swizzle",
        TILE,
        "chunk ^ (row / (8 / kSpread) % kSpread)",
        "chunk",
        CONFLICT,
    ),
    Mutant(
        "values-not-transposed",
        SOFTMAX,
        "load_matrices_transposed(right,",
        "load_matrices(right,",
        WRONG,
    ),
    Mutant(
        "copies-past-the-last-row",
        TILE,
        "exists ? source : global, exists ? bytes : 0",
        "source, exists ? bytes : bytes",
        STOPPED,
    ),
]

CHANNEL_MUTANTS = [
    Mutant("ones-in-the-wrong-column", ROWS, "== G::kOnes % 8)", "== G::kOnes % 8 + 1)", WRONG),
    Mutant("no-barrier-after-the-norms", EXACT, "block_barrier();  // norms are there", "", RACE),
    Mutant(
        "norms-of-keys-swapped",
        EXACT,
        "query_scale[i] * key.y",
        "query_scale[i] * key.x",
        WRONG,
    ),
    Mutant(
        "mean-over-the-padding",
        ROWS,
        "return x; })) / G::kPositions",
        "return x; })) / G::kDim",
        WRONG,
    ),
    Mutant(
        "no-barrier-before-the-merge",
        EXACT,
        "block_barrier();  // all warps have left K and V",
        "",
        RACE,
    ),
    Mutant(
        "sum-taken-from-another-lane", ROWS, "(G::kOnes % 8 / 2)", "(G::kOnes % 8 / 2 + 1)", WRONG
    ),
    Mutant("norms-of-the-wrong-keys", LINEAR, "norms + 8 * half +", "norms +", WRONG),
    Mutant("no-mean-of-v", LINEAR, "mean.x + query_scale[i]", "query_scale[i]", WRONG),
]

INT8_MUTANTS = [
    Mutant(
        "scales-of-queries-swapped",
        INT8,
        "sums[0][e]) * query_scale[e / 2]",
        "sums[0][e]) * query_scale[e % 2]",
        WRONG,
    ),
    Mutant("scales-of-keys-swapped", INT8, "e % 2 == 0 ? scale.x", "e % 2 == 1 ? scale.x", WRONG),
    Mutant("keys-not-smoothed", QUANTIZE, "-= mean.value[e]", "-= 0 * mean.value[e]", WRONG),
    Mutant("overflow-to-minus-128", QUANTIZE, "127.0f / largest", "128.0f / largest", WRONG),
    Mutant("a-scale-too-many", INT8, "key + 1 < block.tokens", "key < block.tokens", STOPPED),
    Mutant(
        "no-barrier-before-the-output",
        INT8,
        "block_barrier();  // the staging tile reaches into rows of Q that other warps read",
        "",
        RACE,
    ),
]


def symptoms(call: Call, error: float, gate: float) -> Iterator[str]:
    if call.status != 0:
        yield STOPPED
    if call.report.races:
        yield RACE
    if call.report.conflicts:
        yield CONFLICT
    if not error <= gate:  # NaN too
        yield WRONG


def attention_symptoms(library: Library) -> Iterator[str]:
    for tile in (test_attention.ROWS64, test_attention.ROWS16):
        for tokens in (15, 197):
            case = test_attention.Case(tokens, tile=tile, seed=tokens)
            operands = test_attention.make_operands(case)
            call, out = test_attention.attend(library, case, operands)
            values = test_attention.FORMATS[case.number].decode(out)
            error = relative_error(values, test_attention.reference(case, operands))
            yield from symptoms(call, error, test_attention.GATES[case.number])


def channel_symptoms(library: Library) -> Iterator[str]:
    half = test_channel_attention.FORMATS["float16"]
    for form in (test_channel_attention.ROWS16, test_channel_attention.LINEAR):
        case = test_channel_attention.Case(128, form, seed=1)
        operands = test_channel_attention.make_operands(case)
        lengths = np.exp2(np.random.default_rng(0).integers(-3, 3, (1, 128, 1)))
        operands.k[:] = half.encode(half.decode(operands.k.copy()) * lengths)
        call, out = test_channel_attention.attend(library, case, operands)
        error = relative_error(out, test_channel_attention.reference(case, operands))
        yield from symptoms(call, error, test_channel_attention.GATES[case.number])


def int8_symptoms(library: Library) -> Iterator[str]:
    for tokens in (41, 70):
        case = test_attention_int8.Case(tokens, offset=8.0, seed=1)
        qkv = test_attention_int8.make_qkv(case)
        call, out = test_attention_int8.attend(library, case, qkv)
        error = relative_error(out, test_attention_int8.reference(case, qkv))
        yield from symptoms(call, error, test_attention_int8.GATE)


def mutated(workshop: Workshop, mutant: Mutant, driver: str, *sources: str) -> Library:
    files = [*(KERNELS / source for source in sources), EMULATION / driver]
    patches = {mutant.file: (mutant.old, mutant.new)}
    return workshop.library(f"mutant-{driver[:4]}-{mutant.name}", files, patches)


@pytest.mark.parametrize("mutant", ATTENTION_MUTANTS, ids=str)
def test_mutants_of_attention(workshop: Workshop, mutant: Mutant) -> None:
    library = mutated(workshop, mutant, "attention_mutant_driver.cpp")
    assert mutant.symptom in set(attention_symptoms(library))


@pytest.mark.parametrize("mutant", CHANNEL_MUTANTS, ids=str)
def test_mutants_of_channel_attention(workshop: Workshop, mutant: Mutant) -> None:
    library = mutated(workshop, mutant, "channel_mutant_driver.cpp")
    assert mutant.symptom in set(channel_symptoms(library))


@pytest.mark.parametrize("mutant", INT8_MUTANTS, ids=str)
def test_mutants_of_attention_int8(workshop: Workshop, mutant: Mutant) -> None:
    library = mutated(workshop, mutant, "int8_driver.cpp", "attention/attention_int8.cu")
    assert mutant.symptom in set(int8_symptoms(library))


def test_unpatched_kernels_show_no_symptom(workshop: Workshop) -> None:
    """Else the mutants above would be found for reasons of the cases, not of their faults."""
    nothing = Mutant("nothing", RING, "#pragma once", "#pragma once", "")
    library = mutated(workshop, nothing, "attention_mutant_driver.cpp")
    assert set(attention_symptoms(library)) == set()
    library = mutated(workshop, nothing, "channel_mutant_driver.cpp")
    assert set(channel_symptoms(library)) == set()
    library = mutated(workshop, nothing, "int8_driver.cpp", "attention/attention_int8.cu")
    assert set(int8_symptoms(library)) == set()
