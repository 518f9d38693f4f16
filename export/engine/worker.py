"""The process that builds or tries one plan and ends.

TensorRT-RTX 1.7 is not itself after a failed build: in the same process the next plan came out five
times as large, or not at all. A process of its own also dies at once when a build is cancelled, and
gives back the memory that a build took.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from threading import Thread

import msgspec

from export.engine.job import Failure, Job, Message, Trial
from sdk.errors import FramescoreError, UsageError


def main() -> None:
    """Do what standard input asks for; answer on standard output, a line for each message."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller decides what Ctrl-C ends
    channel = os.dup(1)
    os.dup2(2, 1)  # what libraries print must not come between the messages
    job = msgspec.json.decode(_read_line(0), type=Job | Trial)
    Thread(target=_end_with_caller, daemon=True).start()

    def send(message: Message) -> None:
        os.write(channel, msgspec.json.encode(message) + b"\n")

    try:
        send(_do(job, send))
    except FramescoreError as error:
        send(Failure(error.message, error.hint, isinstance(error, UsageError)))
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more
    except OSError as error:
        send(Failure(f"The builder cannot read or write a file: {error}.", "", False))


def _do(job: Job | Trial, send: Callable[[Message], None]) -> Message:
    if isinstance(job, Trial):
        from export.engine.trial import run_trial

        return run_trial(job)
    from export.engine.builder import build_plan

    return build_plan(job, send)


def command() -> list[str]:
    """The command line that starts this process with the caller's own import path."""
    start = (
        f"import sys; sys.path[:] = {[*map(str, sys.path)]!r}; from {__name__} import main; main()"
    )
    return [sys.executable, "-c", start]


def _read_line(descriptor: int) -> bytes:
    """Read up to a line break, unbuffered: the rest is the watchdog's."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(descriptor, 1)):
        line += byte
    return line


def _end_with_caller() -> None:
    """Standard input ends when the caller does, however it does."""
    while os.read(0, 64):
        pass
    os._exit(1)
