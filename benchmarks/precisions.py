"""Measures what each precision of bundles costs and gains here: drift, latency, size, engine build.

python benchmarks/precisions.py glint-edge --out benchmarks/results/precisions/glint-edge.json
python benchmarks/precisions.py --update        tables of all results into benchmarks/README.md
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind an installed framescore

from benchmarks.machine import Disturbance, describe_machine
from benchmarks.precision_bundles import COMMANDS, make_bundle
from export.engine import build as build_engine
from export.frame_set import FrameSet, collect_frames
from export.verify import verify_bundle
from export.verify.candidates import list_candidates
from export.verify.latency import measure_latency
from export.verify.report import as_plain
from sdk.bundle import Bundle
from sdk.errors import FramescoreError

SCHEMA_VERSION = 1
SEED = 1  # not the one that calibration frames are drawn with
THREADS = (1, 2)
MADE = Path("build/precisions")
RESULTS = Path(__file__).resolve().parent / "results" / "precisions"
README = Path(__file__).resolve().parent / "README.md"
MARK = re.compile(r"(<!-- precisions -->\n).*?(<!-- /precisions -->)", re.DOTALL)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, or renew the tables; see `--help`."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.update:
        _update()
        return 0
    if not options.bundles or options.out is None:
        parser.error("Give bundles to measure and --out FILE, or --update.")
    made = [_bundle(name, options.made, options.calibrate) for name in options.bundles]
    results = measure(made, options.frames, options.count, options.rounds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(table(results)))
    return 0


def _bundle(name: str, made: Path, calibration: Path | None) -> tuple[Path, dict[str, Any]]:
    """Find a bundle, or export it, and say what was done for it."""
    if name not in COMMANDS:
        return Path(name), {}
    made.mkdir(parents=True, exist_ok=True)
    return make_bundle(name, made, calibration)


def measure(
    made: Sequence[tuple[Path, dict[str, Any]]], folder: Path | None, count: int, rounds: int
) -> dict[str, Any]:
    """Measure bundles one after the other.

    Args:
        made: Files, each with what is known of its export.
        folder: Pictures to make frames of; None takes the built-in photographs.
        count: How many frames.
        rounds: Of the timing.
    """
    disturbance = Disturbance()
    bundles = [
        {**_measure_bundle(Bundle.load(path), folder, count, rounds), "export": export}
        for path, export in made
    ]
    return {
        "schema": SCHEMA_VERSION,
        "kind": "precisions",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": describe_machine(),
        "bundles": bundles,
        "disturbance": disturbance.report(),
    }


def _measure_bundle(bundle: Bundle, folder: Path | None, count: int, rounds: int) -> dict[str, Any]:
    frames = collect_frames(folder, bundle.views, count, seed=SEED)
    report = verify_bundle(bundle, frames=frames).to_dict()
    for result in report["results"]:
        del result["worst"]
        if result["drift"]:
            del result["drift"]["by_group"]
    judged = bundle.manifest.certificate.get("precisions", {})
    return {
        "model": bundle.model_id,
        "views": [view.spec for view in bundle.manifest.views],
        "bundle_bytes": bundle.path.stat().st_size,
        "graph_bytes": {g.precision: len(bundle.members[g.file]) for g in bundle.graphs()},
        "int8": {
            key: judged["int8"][key]
            for key in ("calibrator", "weight_bits", "int8_share_of_multiply_adds")
        }
        if "int8" in judged
        else {},
        "verify": report,
        "latency_ms": [_latencies(bundle, frames, threads, rounds) for threads in THREADS],
        "engines": list(_engines(bundle)),
    }


def _latencies(bundle: Bundle, frames: FrameSet, threads: int, rounds: int) -> dict[str, Any]:
    """Time one frame through the network, all ways of running in turns."""
    found = measure_latency(
        bundle, list_candidates(bundle), frames.inputs[0], rounds=rounds, threads=threads
    )
    return {"threads": threads, "rounds": rounds, "results": [_flat(one) for one in found]}


def _flat(latency: Any) -> dict[str, Any]:
    plain = as_plain(latency)
    return {**plain.pop("candidate"), **plain}


def _engines(bundle: Bundle) -> Iterator[dict[str, Any]]:
    """Build plans for RTX cards, which needs no GPU."""
    for graph in bundle.graphs():
        if graph.precision.startswith("int8"):
            continue  # refused by TensorRT-RTX until a GPU has confirmed it
        started = perf_counter()
        entry = {"precision": graph.precision, "target": "rtx"}
        try:
            engine = build_engine(bundle, target="rtx", precision=graph.precision, cache=False)
        except FramescoreError as error:
            yield {**entry, "reason": error.message}
            continue
        seconds = round(perf_counter() - started, 2)
        yield {**entry, "seconds": seconds, "plan_bytes": len(engine.plan)}


def table(results: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the tables of one machine, as Markdown."""
    for bundle in results["bundles"]:
        yield from _bundle_table(bundle)
    machine = results["machine"]
    versions = machine["packages"]
    shown = ("openvino", "onnxruntime", "tensorrt-rtx-cu13")
    packages = ", ".join(f"{name} {versions[name]}" for name in shown if name in versions)
    yield (
        f"{machine['cpu']['model']}, {machine['cores']} cores "
        f"({' '.join(machine['cpu']['flags'])}), {packages}; {results['date']}; "
        f"other processes took {results['disturbance']['cores_taken_by_others']:.0%} of the "
        "processor."
    )
    yield ""


def _bundle_table(bundle: dict[str, Any]) -> Iterator[str]:
    verified = bundle["verify"]
    yield f"**{bundle['model']}**, {verified['frames']['count']} frames, drift in points of 100:"
    yield ""
    yield (
        "| precision | on | max drift | p99 | mean | rank corr. | 1 thread, ms | 2 threads, ms | "
        "graph, MB |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for result in verified["results"]:
        yield _row(result, bundle)
    yield ""
    share = bundle["int8"].get("int8_share_of_multiply_adds")
    if share is not None:
        yield f"- INT8: {share:.0%} of the multiply-adds, {bundle['int8']['calibrator']} ranges"
    for engine in bundle["engines"]:
        if "seconds" in engine:
            yield (
                f"- TensorRT-RTX plan {engine['precision']}: {engine['seconds']:.1f} s to build, "
                f"{engine['plan_bytes'] / 1e6:.1f} MB"
            )
    if bundle["export"].get("seconds"):
        yield f"- the export took {bundle['export']['seconds'] / 60:.0f} min"
    yield ""


def _row(result: dict[str, Any], bundle: dict[str, Any]) -> str:
    size = bundle["graph_bytes"].get(result["precision"])
    drift = result["drift"]
    if drift:
        keys = ("max_abs", "p99_abs", "mean_abs", "rank_correlation")
        numbers = [f"{drift[key]:.4f}" for key in keys]
    else:
        numbers = ["not run"] * 4
    times = [_time(result, measured) for measured in bundle["latency_ms"]]
    megabytes = "" if size is None else f"{size / 1e6:.1f}"
    return (
        f"| {' | '.join([result['precision'], result['backend'], *numbers, *times, megabytes])} |"
    )


def _time(result: dict[str, Any], measured: dict[str, Any]) -> str:
    for one in measured["results"]:
        if all(one[key] == result[key] for key in ("precision", "backend", "profile")):
            gain = one["speedup"]
            times = "" if gain is None or one["precision"] == "fp32" else f" ({gain:.2f}×)"
            return f"{one['median_ms']:.1f}{times}"
    return ""


def _update() -> None:
    """Put the tables of all committed results into the README."""
    lines = [
        line
        for path in sorted(RESULTS.glob("*.json"))
        for line in table(json.loads(path.read_text()))
    ]
    text = README.read_text()
    renewed = MARK.sub(lambda found: found[1] + "\n".join(["", *lines]) + found[2], text)
    README.write_text(renewed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    named = ", ".join(COMMANDS)
    parser.add_argument("bundles", nargs="*", metavar="BUNDLE", help=f"{named}, or files")
    parser.add_argument("--calibrate", type=Path, help="pictures to export with; built-in without")
    parser.add_argument("--made", type=Path, default=MADE, help="where exported bundles are kept")
    parser.add_argument("--frames", type=Path, help="folder of pictures; built-in ones without")
    parser.add_argument("--count", type=int, default=128, help="frames to compare on")
    parser.add_argument("--rounds", type=int, default=100, help="of the timing")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--update", action="store_true", help="renew the tables of the README")
    return parser


if __name__ == "__main__":
    sys.exit(main())
