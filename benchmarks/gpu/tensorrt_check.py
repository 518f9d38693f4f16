"""Checks engines on a machine that has TensorRT or TensorRT-RTX and a GPU; writes what it found.

python benchmarks/gpu/tensorrt_check.py --bundle FILE --out RESULT.json

Builds each precision that the bundle has, scores the golden frames with it, compares the scores
with those of the bundle, times it, and tries what the cache promises. Exit status: 0 all checks
passed or did not apply, 1 one failed, 2 usage. What needs a GPU has not run where this was written.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2]))  # behind an installed framescore

from benchmarks.gpu.tensorrt_checks import NotApplicableError, Plan, checks
from export.engine.gpu import find_gpu
from export.engine.targets import resolve_target
from sdk.bundle import Bundle
from sdk.errors import FramescoreError

SCHEMA_VERSION = 1
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
MIN_INT8_GAIN = 1.0  # INT8 that is not faster than FP16 only costs accuracy


@dataclass
class Findings:
    """What the checks found, in the order in which they ran."""

    checks: list[dict[str, Any]] = field(default_factory=list)

    def run(self, name: str, check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Run one check; its failure is a finding and stops no other."""
        try:
            found = {"status": "passed", **check()}
        except NotApplicableError as reason:
            found = {"status": "skipped", "reason": str(reason)}
        except (FramescoreError, RuntimeError, AssertionError) as error:
            found = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        print(f"{name}: {found['status']} {found.get('reason', '')}".rstrip(), file=sys.stderr)
        self.checks.append({"name": name, **found})
        return found

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(check["status"] == "failed" for check in self.checks)


def main(argv: Sequence[str] | None = None) -> int:
    """Check engines; see `--help`."""
    options = _parser().parse_args(argv)
    try:
        plan = _plan(options)
    except FramescoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if options.dry_run:
        print("\n".join(name for name, _ in checks(plan)))
        return 0
    findings = Findings()
    with own_cache():
        for name, check in checks(plan):
            findings.run(name, check)
    compare_speed(findings)
    write(options.out, plan, findings)
    return int(findings.failed)


def compare_speed(findings: Findings) -> None:
    """Judge INT8 against FP16 where both were timed."""
    medians = {
        check["name"].removeprefix("speed "): check["graph_ms"]["median"]
        for check in findings.checks
        if check["name"].startswith("speed ") and check["status"] == "passed"
    }

    def judge() -> dict[str, Any]:
        if not {"int8", "fp16"} <= set(medians):
            raise NotApplicableError("INT8 and FP16 were not both timed")
        gain = medians["fp16"] / medians["int8"]
        assert gain > MIN_INT8_GAIN, f"INT8 is {gain:.2f} times as fast as FP16: not worth it"
        return {"times_as_fast": round(gain, 3)}

    findings.run("INT8 is faster than FP16", judge)


def write(path: Path, plan: Plan, findings: Findings) -> None:
    """Write the findings as JSON, without paths or names of this host."""
    gpu = find_gpu()
    result = {
        "schema": SCHEMA_VERSION,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "gpu": asdict(gpu) if gpu else None,
        "model": plan.bundle.model_id,
        "target": plan.target,
        "runs": plan.runs,
        "warm_up": plan.warm_up,
        "build_only": plan.build_only,
        "transfers_in_gpu_ms": False,
        "checks": findings.checks,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def own_cache() -> Iterator[None]:
    """Keep the user's engines out of this, and this out of theirs."""
    before = os.environ.get("XDG_CACHE_HOME")
    with TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            yield
        finally:
            del os.environ["XDG_CACHE_HOME"]
            if before is not None:
                os.environ["XDG_CACHE_HOME"] = before


def _plan(options: argparse.Namespace) -> Plan:
    bundle = Bundle.load(options.bundle)
    has = {graph.precision.partition("+")[0] for graph in bundle.graphs()}
    wanted = tuple(options.precision or [p for p in PRECISIONS if p in has])
    if not options.dry_run:
        ahead = resolve_target(options.target).toolkit.features.ahead_of_time
        # What TensorRT-RTX makes of INT8 has a check of its own.
        wanted = tuple(p for p in wanted if not (ahead and p == "int8"))
    return Plan(
        bundle, options.target, wanted, options.runs, options.warm_up, options.build_only,
        tuple(options.plugin),
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Check engines on this machine's GPU.")
    parser.add_argument("--bundle", metavar="FILE", help="model (default: the packaged one)")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="JSON to write")
    parser.add_argument("--target", default="this", help="as `framescore engine build` takes it")
    parser.add_argument(
        "--precision", action="append", choices=PRECISIONS, help="only these (repeatable)"
    )
    parser.add_argument("--runs", type=int, default=500, help="timed runs of each engine")
    parser.add_argument("--warm-up", type=int, default=50, help="runs before them")
    parser.add_argument(
        "--plugin", action="append", default=[], metavar="FILE", help="library of our attention"
    )
    parser.add_argument("--build-only", action="store_true", help="build, but run nothing")
    parser.add_argument("--dry-run", action="store_true", help="say what would be checked")
    return parser


if __name__ == "__main__":
    sys.exit(main())
