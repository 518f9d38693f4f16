"""The commands of `framescore`; each loads what it needs when it runs."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from sdk import __version__
from sdk.cli.calibrate import calibrate
from sdk.cli.demo import demo
from sdk.cli.doctor import doctor
from sdk.cli.models import models
from sdk.cli.score import score
from sdk.errors import UsageError

ENTRY_POINTS: Final = "framescore.commands"


class Commands(TyperGroup):
    """The commands below, and those that other packages bring.

    They are found by entry point and loaded when they are named: the runtime knows neither
    training nor export, and scoring does not wait for them.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the help text."""
        return [*super().list_commands(ctx), *_found()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load a command."""
        own = super().get_command(ctx, cmd_name)
        point = _found().get(cmd_name)
        if own is not None or point is None:
            return own
        return _load(point)


app = typer.Typer(
    name="framescore",
    cls=Commands,
    help="Score the quality of images and video without a reference picture.",
    epilog="Scores run from 0 to 100, higher is better.",
    no_args_is_help=True,
    add_completion=False,  # would put two options about shells on top of every help text
    pretty_exceptions_enable=False,
)
app.command()(score)
app.command()(calibrate)
app.command()(demo)
app.command()(models)
app.command()(doctor)


def _found() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=ENTRY_POINTS))}


def _load(point: EntryPoint) -> Any:
    try:
        command = typer.main.get_command(point.load())
    except ImportError as error:
        return _unavailable(point.name, error)
    command.name = point.name
    return command


def _unavailable(name: str, error: ImportError) -> Any:
    """Stand in for a command that cannot be loaded: help lists it, running it says why."""
    reason = f"{error}"

    def refuse() -> None:
        raise UsageError(
            f"The command {name} cannot be loaded: {reason}.",
            hint="Install what it needs: pip install 'framescore[export,train]'",
        )

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    return TyperCommand(
        name, callback=refuse, help="Not available here.", context_settings=anything
    )


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
