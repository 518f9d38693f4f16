"""How a command ends: exit codes, messages and signals."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final, ParamSpec

from sdk.errors import FramescoreError

EXIT_OK: Final = 0
EXIT_FAILURE: Final = 1
EXIT_BELOW: Final = 3  # 2, usage, is UsageError's and typer's own
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
EXIT_TERMINATED: Final = 128 + signal.SIGTERM

DEBUG_VARIABLE: Final = "FRAMESCORE_DEBUG"

P = ParamSpec("P")


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; handled wherever Ctrl-C is."""


def exits_cleanly(command: Callable[P, int]) -> Callable[P, None]:
    """Turn a function that returns an exit code, or raises, into a command for typer."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        import typer

        raise typer.Exit(run_to_exit(lambda: command(*args, **kwargs)))

    return run


def run_to_exit(body: Callable[[], int]) -> int:
    """Run a command and turn whatever ends it into an exit code, with a message if it failed.

    A reader that closes the pipe (`| head -1`) has what it wanted: that is success, as for other
    filters.
    """
    try:
        with _sigterm_raises():
            return body()
    except BrokenPipeError:
        return EXIT_OK
    except Terminated:
        say("terminated.")
        return EXIT_TERMINATED
    except KeyboardInterrupt:
        say("interrupted.")
        return EXIT_INTERRUPTED
    except Exception as error:
        return report(error)


def report(error: Exception, *, source: str = "") -> int:
    """Print one failure on standard error.

    Args:
        error: What went wrong. Anything but a `FramescoreError` is a surprise, so the message
            says how to get the traceback.
        source: The source it belongs to, where the message might not name it.

    Returns:
        The exit code that belongs to the error.
    """
    where = f"{source}: " if source and source not in str(error) else ""
    if isinstance(error, FramescoreError):
        say(f"error: {where}{error.message}", error.hint)
        code = error.exit_code
    else:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        say(f"unexpected error: {where}{what}", f"Set {DEBUG_VARIABLE}=1 to see the traceback.")
        code = EXIT_FAILURE
    if os.environ.get(DEBUG_VARIABLE):
        import traceback

        say("".join(traceback.format_exception(error)).rstrip())
    return code


def say(message: str, hint: str = "") -> None:
    """Print a message, and a hint on a line of its own, on standard error."""
    if sys.stderr is None:  # print would turn to standard output, among the data
        return
    lines = [f"framescore: {message}", *([f"  {hint}"] if hint else [])]
    with suppress(OSError, ValueError):  # nobody listens there; the exit code still tells
        print("\n".join(lines), file=sys.stderr, flush=True)


def settle_stdout() -> bool:
    """Flush standard output now, so that the interpreter has nothing left to fail on later.

    Returns:
        False if what was left could not be written. A reader that has gone doesn't count.
    """
    if sys.stdout is None:  # the shell's >&-
        return True
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        _discard_stdout()
        return isinstance(error, BrokenPipeError)
    return True


def _discard_stdout() -> None:
    """Point the descriptor at the null device: the unwritable rest of the buffer goes there."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
