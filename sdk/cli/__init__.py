"""The command `framescore`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; those of the process by default.

    Returns:
        The exit status: 0 done, 1 run-time failure, 2 usage, 3 below `--fail-under`,
        130 interrupted, 143 terminated.
    """
    from sdk.cli.exits import run_to_exit, settle_stdout
    from sdk.cli.log import show_warnings

    words = sys.argv[1:] if argv is None else list(argv)

    def run() -> int:
        try:
            return _run_command(words)
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)

    show_warnings()
    status = run_to_exit(run)
    return status if settle_stdout() else max(status, 1)


def _run_command(words: list[str]) -> int:
    try:
        from sdk.cli.app import app
    except ImportError:
        if words[:1] != ["doctor"]:
            raise
        from sdk.doctor import main as doctor  # it must be able to say what is missing

        return doctor(words[1:])
    app(args=words, prog_name="framescore")
    return 0
