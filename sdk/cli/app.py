"""The commands of `framescore`; each loads what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from sdk import __version__
from sdk.cli.demo import demo
from sdk.cli.doctor import doctor
from sdk.cli.models import models
from sdk.cli.score import score

app = typer.Typer(
    name="framescore",
    help="Score the quality of images and video without a reference picture.",
    epilog="Scores run from 0 to 100, higher is better.",
    no_args_is_help=True,
    add_completion=False,  # would put two options about shells on top of every help text
    pretty_exceptions_enable=False,
)
app.command()(score)
app.command()(demo)
app.command()(models)
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"framescore {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Take the options that come before a command."""
