"""The command of an experiment: run it and write its results, or renew the table of a page."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sdk.errors import FramescoreError

Results = dict[str, Any]
Table = Callable[[Results], Iterable[str]]


def command(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    needed: Sequence[str],
    compare: Callable[[argparse.Namespace], Results],
    table: Table,
    update: Callable[[], object],
) -> int:
    """Do what the command line asks for.

    Args:
        parser: With ``--out``, ``--update`` and the options of ``compare``.
        argv: Words of the command line.
        needed: Options that ``compare`` cannot do without.
        compare: The experiment.
        table: Its results as lines of Markdown.
        update: Renews the page.
    """
    options = parser.parse_args(argv)
    if options.update:
        update()
        return 0
    if lacking := [name for name in needed if not getattr(options, name)]:
        parser.error(f"--{lacking[0]} is missing; give what --help shows, or --update.")
    try:
        results = compare(options)
    except FramescoreError as error:
        parser.error(f"{error.message} {error.hint or ''}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(table(results)))
    return 0


def renew(page: Path, mark: re.Pattern[str], results: Path, table: Table) -> None:
    """Put the tables of all results in a folder between the marks of a page."""
    lines = [
        line
        for path in sorted(results.glob("*.json"))
        for line in table(json.loads(path.read_text()))
    ]
    text = page.read_text()
    page.write_text(mark.sub(lambda found: found[1] + "\n".join(["", *lines]) + found[2], text))
