"""The builder's messages: all in a file, errors for the user, layers for the report."""

from __future__ import annotations

import re
from typing import Any, Final, TextIO

from export.engine.surface import Enumerator, TensorRT

_LAYERS: Final = "Layers:\n"  # how the list of the finished engine's layers begins
_PLACE: Final = re.compile(r"\s*In \w+ at /[^\s:]+:\d+")
_CODE: Final = re.compile(
    r"(?:\[[^\]]*\] ?)?(?:\w+::\w+: )?Error Code \d+: [^(]*"  # which call failed, and how
    r"\((?P<reason>.*)\)"
)
_CHECK: Final = re.compile(r"^(?:\[[^\]]*\d: \w+\(?\)?\] ?)+")
# The parser's own report repeats these; CUDA's absence is no fault where a build needs no GPU.
_NOISE: Final = re.compile(r"ModelImporter\.cpp:|catchCudaError")


class BuildLog:
    """What the builder said.

    Args:
        file: Where every message goes, a line each.

    Attributes:
        errors: Its errors, without codes and places in its source.
        layers: The list of the finished engine's layers, one a line; empty if it gave none.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.errors: list[str] = []
        self.layers = ""

    def add(self, severity: str, message: str) -> None:
        """Keep one message.

        Args:
            severity: Its severity by name.
            message: Its text, of one or more lines.
        """
        self._file.write(f"[{severity[0]}] {message}\n")
        if severity in ("ERROR", "INTERNAL_ERROR") and not _NOISE.search(message):
            self.errors.append(clean(message))
        elif message.startswith(_LAYERS):
            self.layers = message.removeprefix(_LAYERS)


def clean(message: str) -> str:
    """Cut error codes and places in TensorRT's source off a message."""
    lines = [line for line in message.splitlines() if "catchCudaError" not in line]
    text = _PLACE.sub("", " ".join(lines))
    match = _CODE.search(text)
    return _CHECK.sub("", match["reason"] if match else text).strip(" .")


def make_logger(trt: TensorRT, log: BuildLog) -> Any:
    """Return a logger that TensorRT takes.

    It keeps one logger for a process, the first: another reason why builds have one of their own.
    """

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()

        def log(self, severity: Enumerator, msg: str) -> None:
            log.add(severity.name, msg)

    return Logger()
