"""The options of the commands, and what their texts mean."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer

from sdk.errors import UsageError

_MODEL: Final = "Model"
_FRAMES: Final = "Frames"
_OUTPUT: Final = "Output"
_RAW: Final = "Raw video (.yuv or standard input)"

DEFAULT_POOL: Final = "mean,p5,min"


class Format(str, Enum):
    """Layouts of the output."""

    table = "table"
    jsonl = "jsonl"
    csv = "csv"
    vmaf_json = "vmaf-json"


class BackendName(str, Enum):
    """Runtimes to choose from."""

    auto = "auto"
    openvino = "openvino"
    onnxruntime = "onnxruntime"


class Precision(str, Enum):
    """Arithmetic to choose from."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Image, folder, glob, video file, - (y4m or raw video on standard input), rtsp://…, "
        "v4l2:///dev/video0 or 0, gst:PIPELINE.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Bundle file or the name of a packaged model.",
        show_default="glint-edge",
        rich_help_panel=_MODEL,
    ),
]
Backend = Annotated[
    BackendName,
    typer.Option(
        "--backend",
        metavar="B",
        help="Runtime that computes the scores: auto, openvino or onnxruntime.",
        rich_help_panel=_MODEL,
    ),
]
PrecisionChoice = Annotated[
    Precision,
    typer.Option(
        "--precision",
        metavar="P",
        help="fp32, bf16, fp16, int8, or auto: fp32, or bf16 where scores stay within 0.5 of it.",
        rich_help_panel=_MODEL,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        metavar="N",
        help="CPU threads.",
        show_default="all",
        rich_help_panel=_MODEL,
    ),
]
CalibrationFile = Annotated[
    Path | None,
    typer.Option(
        "--calibration",
        metavar="FILE",
        help="Map scores to a site: what framescore calibrate wrote.",
        rich_help_panel=_MODEL,
    ),
]
Every = Annotated[
    int | None,
    typer.Option(
        "--every", min=1, metavar="N", help="Score every N-th frame.", rich_help_panel=_FRAMES
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps", metavar="F", help="Score F frames of each second.", rich_help_panel=_FRAMES
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        metavar="N",
        help="Stop after N scored frames of each source.",
        rich_help_panel=_FRAMES,
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="WxH", help="Size of its frames, in pixels.", rich_help_panel=_RAW
    ),
]
PixelFormatName = Annotated[
    str | None,
    typer.Option(
        "--pixel-format",
        metavar="F",
        help="Layout of its frames: bgr24, rgb24, bgra, rgba, gray, nv12, yuv420p, yuyv422, "
        "yuv422p or yuv444p.",
        rich_help_panel=_RAW,
    ),
]
FrameRate = Annotated[
    float | None,
    typer.Option(
        "--frame-rate",
        metavar="F",
        help="Its frames per second; also of images that are a sequence.",
        rich_help_panel=_RAW,
    ),
]
FormatChoice = Annotated[
    Format,
    typer.Option(
        "--format",
        metavar="F",
        help="jsonl or csv, frame by frame; table or vmaf-json, at the end.",
        rich_help_panel=_OUTPUT,
    ),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write there instead of to standard output, which is -.",
        rich_help_panel=_OUTPUT,
    ),
]
FailUnder = Annotated[
    float | None,
    typer.Option(
        "--fail-under",
        metavar="X",
        help="Exit with 3 if a source's first --pool number is below X.",
        rich_help_panel=_OUTPUT,
    ),
]
Pool = Annotated[
    str,
    typer.Option(
        "--pool",
        metavar="LIST",
        help="Of mean, harmonic_mean, min, p1, p5, p10: what the table shows, the first of "
        "which --fail-under compares.",
        rich_help_panel=_OUTPUT,
    ),
]

SkipAbstained = Annotated[
    bool,
    typer.Option(
        "--skip-abstained",
        help="Leave frames on which the model abstains out of the pooled numbers.",
        rich_help_panel=_OUTPUT,
    ),
]


def parse_pool(text: str) -> tuple[str, ...]:
    """Return the pooling methods of a list such as `mean,p5`, each once.

    Raises:
        UsageError: One of them is unknown, or there is none.
    """
    from sdk.pooling import pool_method

    return tuple(dict.fromkeys(pool_method(name) for name in text.split(",")))


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of `1920x1080`.

    Raises:
        UsageError: The text is something else.
    """
    match = re.fullmatch(r"(\d{1,6})[xX×](\d{1,6})", text.strip())
    if match is None or "0" in match.groups():
        raise UsageError(
            f"--size {text!r} isn't a frame size.",
            hint="Give width and height in pixels, such as 1920x1080.",
        )
    return int(match[1]), int(match[2])


def check_sampling(every: int | None, fps: float | None) -> None:
    """Refuse sampling options that contradict each other.

    Raises:
        UsageError: Both are given, or the rate isn't a positive number.
    """
    if every is not None and fps is not None:
        raise UsageError(
            f"--every {every} and --fps {fps:g} exclude each other.", hint="Give one of them."
        )
    if fps is not None and not 0 < fps < float("inf"):
        raise UsageError(f"--fps must be above 0, not {fps:g}.", hint="For example --fps 2.")


def check_fail_under(value: float | None) -> None:
    """Refuse a mark that no score can be compared with: nothing is below NaN.

    Raises:
        UsageError: It isn't finite.
    """
    if value is not None and not math.isfinite(value):
        raise UsageError(
            f"--fail-under must be a number such as the scores, 0 to 100, not {value:g}.",
            hint="For example --fail-under 60.",
        )


def parse_output(path: Path | None) -> Path | None:
    """Return the file to write; None for standard output, which may be called `-` as in sources."""
    return None if path == Path("-") else path


def check_output(output: Path | None, sources: Sequence[str]) -> None:
    """Refuse to replace what is to be scored.

    Raises:
        UsageError: The output file exists and is an image or one of the sources.
    """
    from sdk.io.suffixes import IMAGE_SUFFIXES

    if output is None or not os.path.isfile(output):  # noqa: PTH113 - Path's raises where it may not look
        return
    # Whatever the sources are, a picture is never an earlier output: a glob may match it.
    is_image = output.suffix.lower() in IMAGE_SUFFIXES
    if is_image or any(_same_file(output, source) for source in sources):
        raise UsageError(
            f"--output {str(output)!r} is a source or an image; it would be replaced unread.",
            hint="Give another file.",
        )


def _same_file(one: Path, other: str) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # the other is no file at all
        return False
