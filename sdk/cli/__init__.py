"""The command `framescore`."""

from __future__ import annotations

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

    def run() -> int:
        from sdk.cli.app import app

        try:
            app(args=None if argv is None else list(argv), prog_name="framescore")
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        return 0

    show_warnings()
    status = run_to_exit(run)
    return status if settle_stdout() else max(status, 1)
