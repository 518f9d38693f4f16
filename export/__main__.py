"""``python -m export``: a trained network becomes a bundle."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from export.build import build_bundle
from export.description import read_description
from export.golden_frames import degraded_photographs
from sdk.errors import FramescoreError

app = typer.Typer(add_completion=False)


@app.command()
def bundle(
    model: Annotated[str, typer.Argument(help="package.module:function that returns the module")],
    description: Annotated[Path, typer.Option(help="What the model is, JSON")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Bundle to write")],
    weights: Annotated[Path | None, typer.Option(help="State dictionary of the module")] = None,
    card: Annotated[Path | None, typer.Option(help="Model card to pack with it")] = None,
) -> None:
    """Export a torch network, check its scores, and write one bundle."""
    members = {card.name: card.read_bytes()} if card else {}
    golden = degraded_photographs()
    try:
        written = build_bundle(
            model, weights, golden, out, read_description(description), members=members
        )
    except FramescoreError as error:
        print(f"error: {error.message}\n{error.hint}".rstrip(), file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    print(f"{out}: {written.model_id}, {out.stat().st_size / 1e6:.1f} MB")
    print(json.dumps(written.manifest.certificate["golden"], indent=2))


if __name__ == "__main__":
    app()
