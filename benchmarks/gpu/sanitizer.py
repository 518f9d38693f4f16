"""Runs `sanitised.py` under each tool of compute-sanitizer."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu.sanitised import TOOLS

_FOUND = 9  # exit code that we ask for
_SUMMARY = re.compile(r"(ERROR SUMMARY|RACECHECK SUMMARY): (.*)")
_LAUNCHES = re.compile(r"(\d+) launches")


def command(tool: str, library: Path, probes: Path) -> list[str]:
    """The command line of one tool.

    Args:
        tool: One of `TOOLS`.
        library: The kernels.
        probes: The probes.
    """
    options = ["--tool", tool, "--error-exitcode", str(_FOUND), "--print-limit", "5"]
    if tool == "memcheck":
        options += ["--leak-check", "full"]
    child = [sys.executable, "-m", "benchmarks.gpu.sanitised", str(library), str(probes)]
    return ["compute-sanitizer", *options, *child]


def run_tools(root: Path, library: Path, probes: Path, seconds: float) -> dict[str, Any]:
    """What each tool found; `seconds` is the limit of each."""
    if shutil.which("compute-sanitizer") is None:
        return {tool: {"unavailable": "compute-sanitizer is not on PATH"} for tool in TOOLS}
    return {tool: _run(root, command(tool, library, probes), seconds) for tool in TOOLS}


def _run(root: Path, line: list[str], seconds: float) -> dict[str, Any]:
    try:
        done = subprocess.run(
            line, cwd=root, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return {"unavailable": f"not done after {seconds:.0f} s"}
    return read_output(done.returncode, done.stdout + done.stderr)


def read_output(code: int, output: str) -> dict[str, Any]:
    """What a run came to: clean only if it says so itself and all launches were made.

    Args:
        code: Exit status.
        output: All that was printed.
    """
    summary, launches = _SUMMARY.search(output), _LAUNCHES.search(output)
    clean = code == 0 and summary is not None and launches is not None
    found: dict[str, Any] = {
        "clean": clean,
        "summary": summary[2] if summary else "none",
        "launches": int(launches[1]) if launches else 0,
    }
    return found if clean else {**found, "exit_code": code, "output": output[-2000:]}
