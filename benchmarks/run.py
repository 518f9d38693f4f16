"""Measures framescore on this machine and writes the figures as JSON.

python benchmarks/run.py --out benchmarks/results/NAME.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind an installed framescore

from benchmarks import backends, brisque, fresh, preprocessing, scoring, whole_path
from benchmarks.expectations import EXPECTATIONS
from benchmarks.footage import decoded, write_clip
from benchmarks.machine import Disturbance, available_cores, describe_machine
from benchmarks.settings import Settings, full, quick
from benchmarks.table import render
from sdk import Scorer

SCHEMA_VERSION = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run everything; see `--help`."""
    options = _parser().parse_args(argv)
    if (options.brisque_python is None) != (options.brisque_models is None):
        _parser().error("--brisque-python and --brisque-models need each other: give both.")
    with TemporaryDirectory() as folder:
        choose = quick if options.quick else full
        chosen = (options.model, options.brisque_python, options.brisque_models)
        results = measure(choose(Path(folder), *chosen), is_quick=options.quick)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    print(render([results]))
    return 0


def measure(settings: Settings, *, is_quick: bool) -> dict[str, Any]:
    """Take all measurements, one after the other.

    Args:
        settings: How much of each.
        is_quick: Noted in the results, which then are not to be quoted.
    """
    disturbance = Disturbance()
    _warn_if_busy(disturbance)
    results: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "quick": is_quick,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": describe_machine(),
        "model": _describe_model(settings),
        "settings": _describe_settings(settings),
    }
    clips, results["clips"] = _make_clips(settings)
    held = {size: decoded(clip, settings.held_frames) for size, clip in clips.items()}
    stages: dict[str, Callable[[], Any]] = {
        "whole_path": lambda: whole_path.measure(settings, clips),
        "scoring": lambda: scoring.measure(settings, held),
        "preprocessing": lambda: preprocessing.measure(settings, held["1080p"]),
        "backends": lambda: backends.measure(settings, held["1080p"]),
        "brisque": lambda: brisque.measure(settings, held),
        "start": lambda: fresh.measure_start(settings),
        "memory": lambda: fresh.measure_memory(settings, clips),
    }
    results |= {name: _stage(name, stage) for name, stage in stages.items()}
    results["expectations"] = [expectation.judge(results) for expectation in EXPECTATIONS]
    results["disturbance"] = disturbance.report()
    return results


def _make_clips(settings: Settings) -> tuple[dict[str, Path], dict[str, Any]]:
    """Write the clips; tell what they are."""
    paths: dict[str, Path] = {}
    about: dict[str, Any] = {}
    for size, frames in settings.clip_frames.items():
        paths[size] = settings.folder / f"{size}.mp4"
        width, height = settings.sizes[size]
        _stage(f"clip {size}", partial(write_clip, paths[size], (width, height), frames))
        megabytes = round(paths[size].stat().st_size / 1e6, 1)
        about[size] = {"width": width, "height": height, "frames": frames, "megabytes": megabytes}
    return paths, {"codec": "MPEG-4 part 2", **about}


def _describe_model(settings: Settings) -> dict[str, Any]:
    with Scorer(settings.model) as scorer:
        return {"id": scorer.model_id, "backend": scorer.backend, "precision": scorer.precision}


def _describe_settings(settings: Settings) -> dict[str, Any]:
    """Return the numbers of runs, and nothing that names a place on this machine."""
    return {name: value for name, value in asdict(settings).items() if isinstance(value, int)}


def _stage(name: str, run: Callable[[], Any]) -> Any:
    start = perf_counter()
    print(f"{name} …", end=" ", file=sys.stderr, flush=True)
    result = run()
    print(f"{perf_counter() - start:.0f} s", file=sys.stderr)
    return result


def _warn_if_busy(disturbance: Disturbance) -> None:
    if disturbance.load_at_start > 0.5 * available_cores():
        print(
            f"warning: the load is {disturbance.load_at_start:.1f} already; figures taken now "
            "tell of the other processes too.",
            file=sys.stderr,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure framescore on this machine.")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON to write")
    parser.add_argument("--model", help="bundle to measure (default: the packaged model)")
    parser.add_argument("--quick", action="store_true", help="try everything; measure nothing")
    parser.add_argument(
        "--brisque-python",
        type=Path,
        metavar="PYTHON",
        help="interpreter of an environment that has opencv-contrib-python-headless",
    )
    parser.add_argument(
        "--brisque-models",
        type=Path,
        metavar="FOLDER",
        help=f"where {brisque.MODEL} and {brisque.RANGE} lie",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
