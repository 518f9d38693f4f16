"""Builds the kernels for one GPU with nvcc alone: no CMake, no Python headers, no network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LIBRARY = "libframescore_kernels.so"
PROBES = "libprobes.so"
_FLAGS = ("-std=c++17", "-O3", "-lineinfo", "-Xcompiler=-fPIC,-fvisibility=hidden")


def sources(root: Path) -> list[Path]:
    """All that the shared library is made of; TensorRT's plugin is not.

    Args:
        root: The repository.
    """
    found = (root / "kernels").rglob("*.cu")
    return sorted(path for path in found if path.parent.name != "plugin")


def object_of(root: Path, source: Path, folder: Path) -> Path:
    """Where a source's object file goes; sources of one name in two folders stay apart."""
    return folder / "-".join(source.relative_to(root).with_suffix(".o").parts)


def compile_command(root: Path, source: Path, target: Path, arch: str) -> list[str]:
    """Nvcc's command line for one source.

    Args:
        root: The repository.
        source: A .cu file.
        target: The object file to write.
        arch: "90" for sm_90, and so on.
    """
    kernels = root / "kernels"
    code = f"-gencode=arch=compute_{arch},code=sm_{arch}"
    includes = [f"-I{kernels}", f"-I{kernels / 'include'}"]
    return ["nvcc", *_FLAGS, code, *includes, "-c", str(source), "-o", str(target)]


def link_command(objects: Sequence[Path], target: Path, arch: str) -> list[str]:
    """Nvcc's command line for the shared library; the CUDA runtime is linked statically."""
    hidden = "-Xlinker=--exclude-libs,ALL"
    code = f"-gencode=arch=compute_{arch},code=sm_{arch}"
    return ["nvcc", "-shared", hidden, code, *map(str, objects), "-o", str(target)]


def build(root: Path, folder: Path, arch: str, jobs: int | None = None) -> Path:
    """Build the kernels and the probes, in parallel.

    Args:
        root: The repository.
        folder: Where objects and libraries go; made if absent.
        arch: "90" for sm_90, and so on.
        jobs: Compilers at a time; one for each core if None.

    Returns:
        The kernels' library; the probes' lies beside it.

    Raises:
        RuntimeError: nvcc is absent or refuses a source; the message has its output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probes = root / "benchmarks" / "gpu" / "probes.cu"
    parts = sources(root)
    objects = [object_of(root, part, folder) for part in [*parts, probes]]
    with ThreadPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        tasks = [
            pool.submit(_run, compile_command(root, part, target, arch))
            for part, target in zip([*parts, probes], objects, strict=True)
        ]
        for task in tasks:
            task.result()
    _run(link_command(objects[:-1], folder / LIBRARY, arch))
    _run(link_command(objects[-1:], folder / PROBES, arch))
    return folder / LIBRARY


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RuntimeError("nvcc was not found; put the CUDA toolkit's bin on PATH.") from None
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
