"""Text written to a file or standard output, with failures that a user can read."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, TextIO, TypeVar

from sdk.errors import SinkError

_Self = TypeVar("_Self")

# File names need not be UTF-8: Python holds a stray byte as a lone surrogate, which this writes as
# \udcXX. In JSON that is the very escape from which Python reads the name back.
_UNENCODABLE: Final = "backslashreplace"


class Output:
    """A text stream that owns its file, or borrows the one it was given.

    Args:
        target: File to write (replaced if it exists), an open text stream, or None for
            standard output.

    Raises:
        SinkError: The file cannot be opened.
    """

    def __init__(self, target: str | Path | TextIO | None = None) -> None:
        self._owned = isinstance(target, (str, Path))
        if target is None:
            self.name = "standard output"
            self._stream: TextIO = _standard_output()
        elif isinstance(target, (str, Path)):
            self.name = str(target)
            with self._readable_errors("open"):
                # Closed by close(): the file outlives this function.
                self._stream = Path(target).open(  # noqa: SIM115
                    "w", encoding="utf-8", errors=_UNENCODABLE, newline="\n"
                )
        else:
            self._stream = target
            self.name = str(getattr(target, "name", "the stream"))

    @property
    def stream(self) -> TextIO:
        """The stream below, for libraries that print by themselves."""
        return self._stream

    @property
    def is_unicode(self) -> bool:
        """Whether it takes every character, so that JSON needs no escapes."""
        return (self._stream.encoding or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8")

    def write(self, text: str) -> None:
        """Write text and hand it to the system at once, so that a reader sees it now.

        Raises:
            SinkError: It cannot be written, for example because the disk is full.
            BrokenPipeError: The reader has gone.
        """
        with self._readable_errors("write"):
            self._stream.write(text)
            self._stream.flush()

    def close(self) -> None:
        """Close an own file, flush a borrowed stream; raises as `write` does."""
        with self._readable_errors("write"):
            if self._owned:
                self._stream.close()
            elif not self._stream.closed:
                self._stream.flush()

    @contextmanager
    def _readable_errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise  # no failure: whoever read has read enough
        except OSError as error:
            reason = error.strerror or str(error)
            raise SinkError(f"Cannot {verb} {self.name}: {reason}.", hint=self._hint()) from error

    def _hint(self) -> str:
        if self._owned:
            return "Choose a path in an existing, writable folder on a disk with free space."
        return "Make room where it leads, or write to a file elsewhere."


def _standard_output() -> TextIO:
    if sys.stdout is None:  # the shell's >&-
        raise SinkError("Standard output is closed.", hint="Open it, or write to a file.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_UNENCODABLE)
    return sys.stdout


class OutputOwner:
    """Base of the sinks: opens the output at once, closes it at the end of a `with` block."""

    def __init__(self, target: str | Path | TextIO | None = None) -> None:
        self._output = Output(target)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._output.close()
        except OSError:
            if error is None:  # what went wrong first says more than a close that failed after it
                raise
