"""Runs a build or a trial in a process of its own, whose progress it passes on.

The process ends when nobody wants its answer any more.
"""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path
from typing import IO, Final

import msgspec

from export.engine.job import Failure, Job, Measured, Message, Note, Step, Trial
from export.engine.plan import Built
from export.engine.worker import command
from export.progress import Progress
from sdk.errors import BackendError, FramescoreError, UsageError

_log = logging.getLogger("framescore")
_LAST_LINES: Final = 3


def run_build(job: Job, progress: Progress) -> Built:
    """Build a plan.

    Args:
        job: What to build, and the files to write.
        progress: Told where the build is; what it raises, Ctrl-C too, cancels the build.

    Returns:
        What the builder knows of the plan.

    Raises:
        BackendError: The builder refuses the graph, or dies.
        UsageError: The job asks for what cannot be.
    """
    built = _run(job, progress)
    assert isinstance(built, Built)  # what a job is answered with
    return built


def run_trial(trial: Trial, progress: Progress) -> Measured:
    """Run an engine on this machine's GPU.

    Args:
        trial: The engine and the frames.
        progress: As of `run_build`.

    Raises:
        BackendError: It cannot be run, or dies.
    """
    progress("running", 0, 0)
    measured = _run(trial, progress)
    assert isinstance(measured, Measured)
    return measured


def _run(job: Job | Trial, progress: Progress) -> Built | Measured:
    with (
        Path(job.log).open("ab") as errors,
        subprocess.Popen(
            command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C in a terminal reaches the caller alone
        ) as process,
    ):
        try:
            assert process.stdin is not None  # so asked for
            assert process.stdout is not None
            _send(process.stdin, job)
            answer = _follow(process.stdout, progress)
        finally:
            process.kill()  # it has ended, or is to end now
    return answer or _raise_death(process.returncode, Path(job.log))


def _send(stream: IO[bytes], job: Job | Trial) -> None:
    """Send the job; a process that died over its imports is noticed by what it doesn't answer."""
    try:
        stream.write(msgspec.json.encode(job) + b"\n")
        stream.flush()
    except BrokenPipeError:
        return


def _follow(stream: IO[bytes], progress: Progress) -> Built | Measured | None:
    """Pass messages on until the last; None if the process ends without one."""
    for line in stream:
        message: Message = msgspec.json.decode(line, type=Message)
        if isinstance(message, Built | Measured):
            return message
        if isinstance(message, Failure):
            raise _as_error(message)
        if isinstance(message, Step):
            progress(message.stage, message.done, message.total)
        elif isinstance(message, Note):
            _log.warning("%s", message.text)
    return None


def _as_error(failure: Failure) -> FramescoreError:
    kind = UsageError if failure.usage else BackendError
    return kind(failure.message, hint=failure.hint)


def _raise_death(status: int, log: Path) -> Built:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
    raise BackendError(
        f"The builder's process ended with status {status}; the last it said: {' / '.join(lines)}",
        hint="Ended by a signal (a negative status), it ran out of memory or has crashed.",
    )
