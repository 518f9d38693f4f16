"""Options of the commands that fit a head to finished weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Weights = Annotated[Path, typer.Argument(help="Trained glint-edge weights, safetensors")]
Photos = Annotated[list[Path], typer.Option(help="Photo folders with an index.csv; repeatable")]
Out = Annotated[Path, typer.Option(help="Where the weights with the head go, safetensors")]
Report = Annotated[Path | None, typer.Option(help="Where the figures go, JSON")]
Workers = Annotated[int, typer.Option(min=1, help="Processes that distort")]
