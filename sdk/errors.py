"""The errors a user can meet: each says what happened, the value, what is allowed, the fix."""

from __future__ import annotations

from typing import ClassVar


class FramescoreError(Exception):
    """Base of every error raised on purpose.

    Args:
        message: What happened, with the offending value and what is allowed.
        hint: What the user can do about it; printed on its own line by the CLI.
    """

    exit_code: ClassVar[int] = 1  # the CLI's status: 1 run-time failure, 2 usage

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class UsageError(FramescoreError, ValueError):
    """An option or argument that cannot be accepted."""

    exit_code = 2


class FrameError(FramescoreError, ValueError):
    """A frame that cannot be scored: wrong type, size or layout."""


class SourceError(FramescoreError, OSError):
    """A file, camera or stream that cannot be opened or read."""

    def __str__(self) -> str:  # OSError would print its own tuple
        return FramescoreError.__str__(self)


class BundleError(FramescoreError):
    """A model bundle that is damaged, tampered with or of an unknown kind."""


class BackendError(FramescoreError):
    """An inference backend that is missing or cannot run the model."""


class SinkError(FramescoreError, OSError):
    """An output that cannot be written, such as a full disk."""

    def __str__(self) -> str:
        return FramescoreError.__str__(self)
