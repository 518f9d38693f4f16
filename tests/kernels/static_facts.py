"""What nvcc and a disassembler say about compiled kernels, without a GPU."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from .emulated import KERNELS

# Per multiprocessor: bytes of shared memory, warps, blocks (CUDA programming guide, compute
# capabilities). All have 65536 registers, given to a warp in steps of 256; a block takes 1 KB of
# shared memory besides its own.
MULTIPROCESSORS = {
    "80": (164, 64, 32),
    "86": (100, 48, 16),
    "87": (164, 48, 16),
    "89": (100, 48, 24),
    "90": (228, 64, 32),
    "110": (228, 48, 24),
    "120": (100, 48, 24),
}


@dataclass(frozen=True)
class Facts:
    """One kernel on one architecture."""

    registers: int
    stack: int
    spilled: int


def short_name(mangled: str) -> str:
    """attention_kernel<AttentionConfig<Half, 64, ...>> of the name in a cubin."""
    full = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout
    name = re.sub(r"framescore::kernels::(device::)?", "", full.strip().removeprefix("void "))
    return name[: name.rindex("(")].replace("> >", ">>")


def compile_cubin(
    source: Path, architecture: str, folder: Path, virtual: str | None = None
) -> tuple[Path, dict[str, Facts]]:
    """Compiles for one architecture, by way of the PTX of `virtual`; facts by short name."""
    nvcc = shutil.which("nvcc")
    if nvcc is None or shutil.which("c++filt") is None:
        pytest.skip("needs nvcc and c++filt")
    cubin = folder / f"{source.stem}_{architecture}.cubin"
    command = [nvcc, "-std=c++17", "-cubin", "-Xptxas", "-v", f"-code=sm_{architecture}"]
    command += [f"-arch=compute_{virtual or architecture}"]
    command += [f"-I{KERNELS}", f"-I{KERNELS / 'include'}", str(source), "-o", str(cubin)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return cubin, dict(read_ptxas(done.stderr))


def read_ptxas(text: str) -> Iterator[tuple[str, Facts]]:
    pattern = (
        r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores"
        r".*?Used (\d+) registers"
    )
    for name, stack, spilled, registers in re.findall(pattern, text, re.DOTALL):
        yield short_name(name), Facts(int(registers), int(stack), int(spilled))


def blocks_per_multiprocessor(
    architecture: str, registers: int, threads: int, shared_bytes: int
) -> int:
    """Static occupancy."""
    kilobytes, most_warps, most_blocks = MULTIPROCESSORS[architecture]
    warps = threads // 32
    warp_registers = -(-registers * 32 // 256) * 256
    by_registers = 65536 // (warp_registers * warps)
    by_shared = kilobytes * 1024 // (shared_bytes + 1024)
    return min(by_registers, by_shared, most_warps // warps, most_blocks)


def find_nvdisasm() -> str:
    """On PATH, or in NVIDIA's wheel nvidia-cuda-nvdisasm."""
    found = shutil.which("nvdisasm")
    spec = importlib.util.find_spec("nvidia")
    for place in spec.submodule_search_locations or () if spec else ():
        found = found or next(map(str, Path(place).glob("*/bin/nvdisasm")), None)
    if found is None:
        pytest.skip("needs nvdisasm: pip install nvidia-cuda-nvdisasm")
    return found


def disassemble(cubin: Path) -> Mapping[str, list[str]]:
    """The instructions of each kernel, without addresses and encodings."""
    command = [find_nvdisasm(), "-c", str(cubin)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    kernels: dict[str, list[str]] = {}
    instructions: list[str] = []
    for line in text.splitlines():
        if section := re.match(r"\s*\.section\s+\.text\.(\w+)", line):
            instructions = kernels.setdefault(short_name(section[1]), [])
        elif instruction := re.match(r"\s*/\*[0-9a-f]+\*/\s+(.*?)\s*;", line):
            instructions.append(instruction[1])
    return kernels
