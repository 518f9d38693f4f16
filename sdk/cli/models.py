"""`framescore models`: what the packaged models are, and what their numbers mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdk.cli.exits import EXIT_FAILURE, EXIT_OK, exits_cleanly, report, say

if TYPE_CHECKING:
    from sdk.bundle import Bundle


@exits_cleanly
def models(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """List the packaged models: identity, scale, licence, what they were made from."""
    from sdk.bundle import packaged_models
    from sdk.sinks.output import Output

    bundles, damaged = _load(packaged_models().values())
    if not bundles and not damaged:
        say("No model comes with this installation.", "Give a bundle: framescore score -m FILE")
    described = [_describe(bundle) for bundle in bundles]
    Output().write(_as_json(described) if json else _as_text(described))
    return EXIT_FAILURE if damaged else EXIT_OK


def _load(paths: Any) -> tuple[list[Bundle], bool]:
    """Load what can be loaded; damaged bundles are reported and keep none of the others back."""
    from sdk.bundle import Bundle
    from sdk.errors import BundleError

    bundles = []
    damaged = False
    for path in paths:
        try:
            bundles.append(Bundle.load(path))
        except BundleError as error:
            report(error)
            damaged = True
    return bundles, damaged


def _describe(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "name": bundle.path.stem,
        "model": bundle.model_id,
        "version": manifest.version,
        "description": manifest.description,
        "score": {
            "min": manifest.score.min,
            "max": manifest.score.max,
            "higher_is_better": manifest.score.higher_is_better,
        },
        "outputs": list(manifest.outputs),
        **{name: list(labels) for name, labels in manifest.labels.items()},
        "abstain_above": manifest.abstain_above,
        "views": [view.spec for view in manifest.views],
        "graphs": [f"{graph.precision} {graph.profile}" for graph in bundle.graphs()],
        "signed": bundle.signature is not None,
        "licence": manifest.licence,
        "made_from": [f"{source.name} ({source.licence})" for source in manifest.sources],
        "bytes": bundle.path.stat().st_size,
        "path": str(bundle.path),
    }


def _as_json(described: list[dict[str, Any]]) -> str:
    import json

    return json.dumps({"schema": 1, "models": described}, indent=2, ensure_ascii=False) + "\n"


def _as_text(described: list[dict[str, Any]]) -> str:
    return "\n".join(_paragraph(model) for model in described)


def _abstains(limit: float | None) -> str:
    return "" if limit is None else f"where its sigma is above {limit:g} points"


def _paragraph(model: dict[str, Any]) -> str:
    """One model: its name, then a line for each fact, wrapped to 80 columns."""
    from textwrap import fill

    from sdk.manifest import LABELS

    scale = model["score"]
    facts = {
        "model": f"{model['model']}, version {model['version']}, {model['bytes'] / 2**20:.1f} MiB",
        "score": f"{scale['min']:g} to {scale['max']:g}, higher is better",
        "outputs": ", ".join(model["outputs"]),
        **{name: ", ".join(model[name]) for name in LABELS},
        "abstains": _abstains(model["abstain_above"]),
        "views": ", ".join(model["views"]),
        "graphs": ", ".join(model["graphs"]),
        "licence": model["licence"],
        "made from": "; ".join(model["made_from"]),
        "file": model["path"],
    }
    lines = [model["name"]]
    if model["description"]:
        lines.append(fill(model["description"], 78, initial_indent="  ", subsequent_indent="  "))
    for key, value in facts.items():
        if value:
            lead = f"  {key + ':':<13}"
            lines.append(
                fill(
                    value,
                    79,
                    initial_indent=lead,
                    subsequent_indent=" " * len(lead),
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )
    return "\n".join(lines) + "\n"
