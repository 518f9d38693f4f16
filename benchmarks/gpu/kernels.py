"""Checks and times the CUDA kernels on this machine's GPU, in ten minutes at most.

    python benchmarks/gpu/kernels.py --out results.json
    python benchmarks/gpu/kernels.py --dry-run            # what would be done; needs no GPU

Needs an NVIDIA GPU, nvcc, torch with CUDA and numpy; Triton and compute-sanitizer where they are.
The kernels are built first, for this GPU only. Results are written after every section; run again
with the same --out and only what is missing is done.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from tempfile import gettempdir
from time import monotonic
from typing import Any

# Before an installed framescore: the binding must be that of these kernels.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from benchmarks.gpu import (
    attention_cases,
    correctness,
    frame_cases,
    kernel_library,
    models,
    probes,
    sanitizer,
    timings,
)
from benchmarks.gpu.gpu_expectations import expectation, judge
from benchmarks.gpu.kernel_table import render, share_of
from sdk._kernels import Kernels

ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA_VERSION = 1
Section = dict[str, Any]

# Seconds each section may take; with the build about ten minutes in all.
SECONDS = {
    "machine": 5,
    "build": 90,
    "ceilings": 15,
    "correctness": 80,
    "sanitizer": 90,
    "attention": 95,
    "channel_attention": 110,
    "layer_norm": 15,
    "frames": 15,
    "models": 85,
}
_NEEDS_BUILD = tuple(name for name in SECONDS if name not in ("machine", "build"))


@dataclass(frozen=True, slots=True)
class Run:
    """What the sections share.

    Attributes:
        build: Where libraries lie.
        arch: Compute capability without its point, as "90".
        scale: Factor on all time limits.
    """

    build: Path
    arch: str
    scale: float

    def until(self, section: str) -> float:
        """When a section that starts now must end."""
        return monotonic() + SECONDS[section] * self.scale

    def kernels(self) -> Kernels:
        """The built library."""
        return Kernels(self.build / kernel_library.LIBRARY)

    @property
    def probes(self) -> Path:
        """The built probes."""
        return self.build / kernel_library.PROBES


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is asked for and still missing; see `--help`."""
    options = parse(argv)
    if options.dry_run:
        print(plan(options.only))
        return 0
    run = Run(options.build, options.arch or device_arch(), options.minutes / 10)
    results = begin(None if options.fresh else options.out)
    for name in options.only:
        if "unavailable" not in results["sections"].get(name, {"unavailable": "not yet tried"}):
            print(f"{name}: measured before", file=sys.stderr)
            continue
        print(f"{name} ...", file=sys.stderr)
        results["sections"][name] = take(name, run)
        write(results, options.out)
    print(render(results))
    return 0 if healthy(results) else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON to write, and to go on from")
    parser.add_argument("--only", nargs="+", choices=SECONDS, metavar="SECTION", default=None)
    parser.add_argument("--fresh", action="store_true", help="forget what --out has")
    parser.add_argument("--arch", help="compile for it, as 90; by default this GPU")
    default = Path(gettempdir()) / "framescore-kernels"
    parser.add_argument("--build", type=Path, default=default, help="folder to build in")
    parser.add_argument("--minutes", type=float, default=10.0, help="for everything, about")
    parser.add_argument("--dry-run", action="store_true", help="list the work and do nothing")
    options = parser.parse_args(argv)
    if options.out is None and not options.dry_run:
        parser.error("--out is needed: where the results go.")
    if options.minutes <= 0:
        parser.error(f"--minutes is {options.minutes:g}; it must be positive.")
    options.only = [name for name in SECONDS if options.only is None or name in options.only]
    if not options.dry_run and any(name in _NEEDS_BUILD for name in options.only):
        library = options.build / kernel_library.LIBRARY
        if "build" not in options.only and not library.exists():
            options.only.insert(0, "build")
    return options


def plan(sections: Sequence[str]) -> str:
    """Every section with its cases and command lines."""
    lines = [f"{name}: at most {SECONDS[name]} s" for name in sections]
    if "build" in sections:
        for source in kernel_library.sources(ROOT):
            target = kernel_library.object_of(ROOT, source, Path("BUILD"))
            command = kernel_library.compile_command(ROOT, source, target, "90")
            lines.append(" ".join(command).replace(f"{ROOT}/", ""))
    if "correctness" in sections:
        lines += [f"check {case.name}" for case in attention_cases.correctness_cases()]
        lines += [f"check {case.name}" for case in frame_cases.correctness_cases()]
    if "sanitizer" in sections:
        for tool in sanitizer.TOOLS:
            line = sanitizer.command(tool, Path("KERNELS.so"), Path("PROBES.so"))
            lines.append(
                " ".join(["compute-sanitizer", *line[1:]]).replace(sys.executable, "python")
            )
    if "attention" in sections:
        lines += [f"time {case.name}" for case in attention_cases.timing_cases()]
    if "frames" in sections:
        lines += [f"time {case.name}" for case in frame_cases.timing_cases()]
    return "\n".join(lines)


def begin(earlier: Path | None) -> dict[str, Any]:
    """Results to go on from, or empty ones with the expectation at their head."""
    if earlier is not None and earlier.exists():
        found: dict[str, Any] = json.loads(earlier.read_text())
        if found.get("schema") == SCHEMA_VERSION:
            return found
    return {
        "schema": SCHEMA_VERSION,
        "expectation": expectation(),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "sections": {},
        "expectations": judge({}),
    }


def take(name: str, run: Run) -> Section:
    """Take one section; what goes wrong in it is its result."""
    start = monotonic()
    try:
        section = _SECTIONS[name](run, name)
    except Exception as error:  # the other sections are still worth having
        section = {"unavailable": f"{type(error).__name__}: {str(error)[:2000]}"}
    section["seconds"] = round(monotonic() - start, 1)
    return section


def write(results: dict[str, Any], path: Path) -> None:
    """Put the results on disk in one step."""
    results["expectations"] = judge(results["sections"])
    note_shares(results["sections"])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    text = json.dumps(without_nan(results), indent=1, ensure_ascii=False, allow_nan=False)
    part.write_text(text + "\n")
    part.replace(path)


def note_shares(sections: dict[str, Section]) -> None:
    """Put into each timing its share of the measured ceiling, and what that is a ceiling of."""
    ceilings = sections.get("ceilings", {})
    for row in (row for one in sections.values() for row in one.get("rows", ())):
        if "us" in row and "cache" in row and (found := share_of(row, ceilings)):
            row["share"], row["limit"] = found


def without_nan(value: Any) -> Any:
    """The value with null for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def healthy(results: dict[str, Any]) -> bool:
    """Whether every check that ran was passed and every section came to its end."""
    sections = results["sections"]
    checks = [c for c in sections.get("correctness", {}).values() if isinstance(c, dict)]
    tools = [t for t in sections.get("sanitizer", {}).values() if isinstance(t, dict)]
    passed = all(check["failed"] == 0 for check in checks)
    clean = all(tool.get("clean", True) for tool in tools)
    return passed and clean and not any("unavailable" in one for one in sections.values())


def device_arch() -> str:
    """Compute capability of the first GPU, by its driver's tool."""
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit("No NVIDIA GPU was found; --dry-run shows what would be done.") from None
    return found.splitlines()[0].strip().replace(".", "")


def _machine(_: Run, __: str) -> Section:
    import torch

    properties = torch.cuda.get_device_properties(0)
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "gpu": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "l2_mib": properties.L2_cache_size / 2**20,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "commit": commit,
    }


def _build(run: Run, _: str) -> Section:
    kernel_library.build(ROOT, run.build, run.arch)
    return {"arch": run.arch, "sources": len(kernel_library.sources(ROOT))}


def _ceilings(run: Run, _: str) -> Section:
    return dict(probes.measure_ceilings(run.probes))


def _correctness(run: Run, name: str) -> Section:
    kernels, until = run.kernels(), run.until(name)
    checks = (
        correctness.check_layer_norm,
        correctness.check_frames,
        correctness.check_channel_attention,
        correctness.check_attention_int8,
        correctness.check_attention,
        correctness.check_beyond_int32,
    )
    return {check.__name__: asdict(check(kernels, until)) for check in checks}


def _sanitizer(run: Run, name: str) -> Section:
    library = run.build / kernel_library.LIBRARY
    seconds = SECONDS[name] * run.scale / len(sanitizer.TOOLS)
    return sanitizer.run_tools(ROOT, library, run.probes, seconds)


def _allow_recompiling() -> None:
    """Let torch.compile make a program for each shape; the limit's name has changed."""
    import torch._dynamo

    for name in ("recompile_limit", "cache_size_limit"):
        if hasattr(torch._dynamo.config, name):
            setattr(torch._dynamo.config, name, 64)


def _timing(run: Run, name: str) -> Section:
    _allow_recompiling()
    kernels, until = run.kernels(), run.until(name)
    rows = timings.time_all(lambda: timings.contests(kernels, name), until, alone="ours, auto")
    return {"rows": rows}


def _models(run: Run, name: str) -> Section:
    return {"rows": models.measure_models(run.kernels(), run.until(name))}


_SECTIONS: dict[str, Callable[[Run, str], Section]] = {
    "machine": _machine,
    "build": _build,
    "ceilings": _ceilings,
    "correctness": _correctness,
    "sanitizer": _sanitizer,
    "attention": _timing,
    "channel_attention": _timing,
    "layer_norm": _timing,
    "frames": _timing,
    "models": _models,
}


if __name__ == "__main__":
    sys.exit(main())
