"""`framescore doctor`: the report of `sdk.doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from sdk.cli.exits import EXIT_OK, exits_cleanly


@exits_cleanly
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Describe this machine and what is installed, for a bug report; always exits with 0."""
    from sdk.doctor import as_json, as_text, collect
    from sdk.sinks.output import Output

    report = collect()
    Output().write((as_json(report) if json else as_text(report)) + "\n")
    return EXIT_OK
