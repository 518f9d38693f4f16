"""Kernels compiled by g++ with the emulation, and called with numpy arrays."""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parent.parent.parent
KERNELS = REPOSITORY / "kernels"
EMULATION = Path(__file__).resolve().parent / "emulation"
CORE = ("simt.cpp", "fiber.cpp", "shared_memory.cpp", "tensor_core.cpp", "api.cpp")
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")

OK, NULL_POINTER, BAD_SHAPE, BAD_TYPE, MISALIGNED, UNSUPPORTED_TILE, _, LAUNCH_FAILED = range(8)


class Report(ctypes.Structure):
    """What a launch did; see simt.h."""

    _fields_ = (
        ("matrix_multiplies", ctypes.c_int64),
        ("matrix_loads", ctypes.c_int64),
        ("async_copies", ctypes.c_int64),
        ("block_barriers", ctypes.c_int64),
        ("matrix_conflicts", ctypes.c_int64),
        ("copy_conflicts", ctypes.c_int64),
        ("access_conflicts", ctypes.c_int64),
        ("races", ctypes.c_int64),
        ("message", ctypes.c_char * 256),
    )

    @property
    def conflicts(self) -> int:
        return int(self.matrix_conflicts + self.copy_conflicts + self.access_conflicts)


@dataclass(frozen=True)
class Call:
    """A status of status.h and the report of the launch."""

    status: int
    report: Report

    @property
    def message(self) -> str:
        return bytes(self.report.message).decode()


def address(array: NDArray[Any] | None) -> ctypes.c_void_p:
    return ctypes.c_void_p(None if array is None else array.ctypes.data)


@dataclass(frozen=True)
class Library:
    """Compiled kernels with their drivers."""

    handle: ctypes.CDLL

    def call(
        self,
        function: str,
        *arguments: Any,
        reads: Sequence[NDArray[Any] | None],
        writes: Sequence[NDArray[Any]],
        seed: int = 0,
    ) -> Call:
        """Launches; arrays among the arguments are passed by address, and only the ones in reads
        and writes may be touched."""
        self.handle.emulation_begin(ctypes.c_uint64(seed))
        for array in (*reads, *writes):
            if array is not None:
                writable = ctypes.c_int(any(array is one for one in writes))
                size = ctypes.c_size_t(array.nbytes)
                self.handle.emulation_allow(address(array), size, writable)
        passed = [self._passed(argument) for argument in arguments]
        status = int(getattr(self.handle, function)(*passed))
        self.handle.emulation_report.restype = ctypes.POINTER(Report)
        report = self.handle.emulation_report().contents
        return Call(status, Report.from_buffer_copy(report))

    def set_device(self, multiprocessors: int, shared_bytes: int) -> None:
        self.handle.emulation_set_device(ctypes.c_int(multiprocessors), ctypes.c_int(shared_bytes))

    @staticmethod
    def _passed(argument: Any) -> Any:
        if argument is None or isinstance(argument, np.ndarray):
            return address(argument)
        if isinstance(argument, float):
            return ctypes.c_float(argument)
        return ctypes.c_int(argument)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time: pytest-xdist runs several, which share what they compile."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Workshop:
    """Compiles libraries, each once for a whole test run."""

    folder: Path
    libraries: dict[str, Library] = field(default_factory=dict)

    def library(
        self,
        name: str,
        sources: Sequence[Path],
        patches: Mapping[str, tuple[str, str]] | None = None,
    ) -> Library:
        """Compiles sources (of kernels/ and emulation/) into one library.

        `patches` maps a file of kernels/ to (old, new) text: the mutants.
        """
        if name not in self.libraries:
            output = self.folder / f"{name}.so"
            with locked(self.folder / f"{name}.lock"):
                if not output.exists():
                    self._build(output, sources, patches or {})
            self.libraries[name] = Library(ctypes.CDLL(str(output)))
        return self.libraries[name]

    def _build(
        self, output: Path, sources: Sequence[Path], patches: Mapping[str, tuple[str, str]]
    ) -> None:
        kernels = self._patched(output.stem, patches) if patches else KERNELS
        core = [EMULATION / name for name in CORE]
        with locked(self.folder / "core.lock"):
            self._compile([one for one in core if not self._object(one, "core").exists()], "core")
        moved = [kernels / s.relative_to(KERNELS) if KERNELS in s.parents else s for s in sources]
        self._compile(moved, output.stem, kernels)
        objects = [self._object(one, "core") for one in core]
        objects += [self._object(one, output.stem) for one in moved]
        run(["g++", "-shared", *map(str, objects), "-o", f"{output}.new"])
        Path(f"{output}.new").rename(output)

    def _object(self, source: Path, group: str) -> Path:
        return self.folder / f"{group}-{source.stem}.o"

    def _compile(self, sources: Sequence[Path], group: str, kernels: Path = KERNELS) -> None:
        includes = [f"-I{folder}" for folder in (EMULATION, kernels, kernels / "include")]

        def compile_one(source: Path) -> None:
            target = str(self._object(source, group))
            run(["g++", *FLAGS, *includes, "-x", "c++", "-c", str(source), "-o", target])

        workers = 1 if "PYTEST_XDIST_WORKER" in os.environ else os.cpu_count()
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(compile_one, sources))

    def _patched(self, name: str, patches: Mapping[str, tuple[str, str]]) -> Path:
        copy = self.folder / f"{name}-kernels"
        shutil.copytree(KERNELS, copy)
        for file, (old, new) in patches.items():
            text = (copy / file).read_text()
            assert text.count(old) == 1, f"{file} has {text.count(old)} times: {old}"
            (copy / file).write_text(text.replace(old, new))
        return copy


def run(command: Sequence[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stderr[:4000]}"
