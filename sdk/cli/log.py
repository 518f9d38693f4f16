"""The SDK's log messages, shown like the command's own."""

from __future__ import annotations

import logging

from sdk.cli.exits import say


class _SayHandler(logging.Handler):
    """Prints warnings and errors on whatever standard error is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"{record.levelname.lower()}: {record.getMessage()}")


def show_warnings() -> None:
    """Send the warnings of the logger `framescore` to standard error; calling again is harmless."""
    logger = logging.getLogger("framescore")
    if not any(isinstance(handler, _SayHandler) for handler in logger.handlers):
        logger.addHandler(_SayHandler(level=logging.WARNING))
