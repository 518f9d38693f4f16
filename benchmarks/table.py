"""Turns measured results into the tables of the READMEs, so that no figure is typed by hand.

    python benchmarks/table.py [FILE...]            print the tables of results
    python benchmarks/table.py [FILE...] --update   put them between the markers of the READMEs

Without files: all in benchmarks/results.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent))  # behind an installed framescore

from benchmarks.figures import SECTIONS, Figure, Results, number

_ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (_ROOT / "README.md", _ROOT / "benchmarks" / "README.md")
MARKERS = {  # in a document: <!-- benchmarks:NAME --> ... <!-- /benchmarks:NAME -->
    "headlines": "the figures that matter most",
    "all": "every figure, the expectations and the machine",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print or insert the tables; see `--help`."""
    parser = argparse.ArgumentParser(description="Make tables of measured results.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="results to show")
    parser.add_argument("--update", action="store_true", help="write them into the READMEs")
    options = parser.parse_args(argv)
    results = [read(path) for path in options.files or committed()]
    if not results:
        parser.error("There are no results; measure first: python benchmarks/run.py --help")
    if not options.update:
        print(render(results))
        return 0
    if any(one["quick"] for one in results):
        parser.error("Results of --quick mean nothing and are not inserted; measure without it.")
    for document in DOCUMENTS:
        _update(document, results)
    return 0


def committed() -> list[Path]:
    """Return the results that lie in the repository, by name."""
    return sorted((_ROOT / "benchmarks" / "results").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    """Read results."""
    results: dict[str, Any] = json.loads(path.read_text())
    return results


def insert(text: str, results: Sequence[Results]) -> str:
    """Return a document with the tables between its markers renewed."""
    tables = {"headlines": headlines(results), "all": render(results)}
    for name, table in tables.items():
        opening, closing = f"<!-- benchmarks:{name} -->", f"<!-- /benchmarks:{name} -->"
        pattern = re.escape(opening) + ".*?" + re.escape(closing)
        block = f"{opening}\n{table}\n{closing}"
        text = re.sub(pattern, lambda _, block=block: block, text, flags=re.DOTALL)  # type: ignore[misc]
    return text


def headlines(results: Sequence[Results]) -> str:
    """Return one table of the figures that matter most, a column for each machine."""
    figures = [
        replace(figure, label=figure.headline)
        for rows in SECTIONS.values()
        for figure in rows
        if figure.headline
    ]
    return f"{_table(figures, results)}\n\nMeasured on:\n\n{_machines(results)}"


def render(results: Sequence[Results]) -> str:
    """Return all tables, a column for each machine."""
    parts = [_expectations(one) for one in results]
    for heading, figures in SECTIONS.items():
        parts.append(f"### {heading}\n\n{_table(figures, results)}")
    parts.append(f"### Measured on\n\n{_machines(results)}")
    return "\n\n".join(parts)


def _table(figures: Sequence[Figure], results: Sequence[Results]) -> str:
    rows = [["", *(_title(one) for one in results)]]
    rows += [[figure.label, *(figure.text(one) for one in results)] for figure in figures]
    return _markdown(rows)


def _expectations(results: Results) -> str:
    rows = [["expected beforehand", "bound", "measured", "kept"]]
    for one in results["expectations"]:
        value, kept = one["measured"], {True: "yes", False: "**no**", None: ""}[one["kept"]]
        measured = "not measured" if value is None else f"{number(value)} {one['unit']}"
        rows.append([one["statement"], one["bound"], measured, kept])
    return f"### Expectations: {_title(results)}\n\n{_markdown(rows)}"


def _title(results: Results) -> str:
    machine = results["machine"]
    return f"{machine['cpu']['model'] or machine['platform']['machine']}, {machine['cores']} cores"


def _machines(results: Sequence[Results]) -> str:
    return "\n".join(_machine(one) for one in results)


def _machine(results: Results) -> str:
    machine, model, others = results["machine"], results["model"], results["disturbance"]
    versions = [
        f"{name} {machine['packages'][name]}"
        for name in ("numpy", "openvino", "onnxruntime", "opencv-python-headless")
        if name in machine["packages"]
    ]
    words = [
        f"- {_title(results)} ({' '.join(machine['cpu']['flags'])}), {machine['memory_gib']} GiB",
        f"{machine['platform']['distribution']}, Linux {machine['kernel']}, "
        f"Python {machine['python']}, framescore {machine['framescore']}",
        ", ".join(versions),
        f"model {model['id']} on {model['backend']} {model['precision']}",
        f"{results['date']}, {others['minutes']} minutes, of which other processes took "
        f"{100 * others['cores_taken_by_others']:.0f} % of the processor",
    ]
    return "; ".join(words) + "."


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines)


def _update(document: Path, results: Sequence[Results]) -> None:
    text = document.read_text() if document.exists() else ""
    if not any(f"<!-- benchmarks:{name} -->" in text for name in MARKERS):
        print(f"{document.name}: no markers, left as it is", file=sys.stderr)
        return
    document.write_text(insert(text, results))
    print(f"{document.relative_to(_ROOT)}: tables renewed", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
