"""``python -m iqa prepare|pretrain|uncertainty|scenes|validate|evaluate``: around a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track
from safetensors.torch import load_file

from iqa.card import update_card
from iqa.cli.outputs import check_outputs
from iqa.cli.pretrain import pretrain
from iqa.cli.scenes import scenes
from iqa.cli.uncertainty import uncertainty
from iqa.data.features import CHUNK, write_features
from iqa.data.labels import read_type_level
from iqa.data.photos import read_folder
from iqa.data.store import Store, write_store
from iqa.data.synthesis import GROUP, Synthesis
from iqa.distortions.kadid import TYPES
from iqa.evaluate import LEVELS, Picture8, distorted_set, rated_report, synthetic_report
from iqa.models.glint_edge import GlintEdge
from iqa.training.networks import build_network, load_whole
from iqa.training.recipe import Cached, Data, Recipe, Views
from iqa.validate import fit_of
from sdk import Scorer
from sdk.cli.exits import exits_cleanly
from sdk.errors import UsageError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.command()(pretrain)
app.command()(uncertainty)
app.command()(scenes)
RecipeFile = Annotated[Path, typer.Argument(help="A recipe, such as iqa/recipes/glint_edge.toml")]
Work = Annotated[Path, typer.Option(help="Folder for the frames (about 15 GB), and of the run")]
Start = Annotated[Path, typer.Option(help="Folded MobileNetV2 ImageNet weights, safetensors")]


def fresh_model(recipe: Recipe, *kinds: type[Data]) -> GlintEdge:
    """The recipe's model with fresh weights, where its data are of one of these kinds."""
    model, _ = build_network(recipe.model, recipe.seed)
    if not isinstance(model, GlintEdge) or not isinstance(recipe.data, kinds):
        allowed = " or ".join(kind.__name__.lower() for kind in kinds)
        raise UsageError(
            f"The recipe trains {recipe.model.name} on data of kind "
            f"{type(recipe.data).__name__.lower()}; here it must be glint-edge on {allowed}."
        )
    return model


@app.command()
@exits_cleanly
def prepare(
    recipe_file: RecipeFile,
    work: Work,
    start: Start,
    photos: Annotated[list[Path], typer.Option(help="Photo folders with an index.csv; repeatable")],
    means: Annotated[Path, typer.Option(help="type,level,mean rows of human scores")],
    workers: Annotated[int, typer.Option(min=1)] = 2,
) -> int:
    """Distort photographs, gather both views, run the frozen trunk, keep everything on disk."""
    recipe = Recipe.read(recipe_file)
    model = fresh_model(recipe, Cached)
    model.load_imagenet(load_file(start))
    everything = [photo for folder in photos for photo in read_folder(folder)]
    sizes = {"train": (recipe.data.groups, 0), "val": (max(recipe.data.groups // 40, 4), 1)}
    for split, (groups, offset) in sizes.items():
        chosen = [photo for photo in everything if photo.split == split]
        synthesis = Synthesis(chosen, read_type_level(means), recipe.seed + offset)
        write_store(
            work / split, synthesis, groups, workers, track(range(groups), f"{split} frames")
        )
        steps = range(0, groups * GROUP, CHUNK)
        write_features(work / split, model, track(steps, f"{split} features"))
    return 0


@app.command()
@exits_cleanly
def validate(
    recipe_file: RecipeFile,
    work: Work,
    weights: Annotated[Path, typer.Option(help="Trained weights, safetensors")],
) -> int:
    """Compare the fit on frames trained on with the fit on validation photographs."""
    recipe = Recipe.read(recipe_file)
    model = fresh_model(recipe, Cached, Views).eval()
    load_whole(model, load_file(weights), f"--weights {weights}")
    for split in ("train", "val"):
        found = fit_of(model, Store.open(work / split))
        print(f"{split}: n {found['n']}, SROCC {found['srocc']:.3f}, mae {found['mae']:.2f} MOS")
        if found["pairs"]:
            share = f"{100 * found['order']:.1f} % of {found['pairs']}"
            print(f"{split}: {share} pairs of one camera fault in order")
    return 0


@app.command()
@exits_cleanly
def evaluate(
    model: Annotated[str, typer.Argument(help="A bundle, or the name of a packaged model")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Report to write, JSON")],
    means: Annotated[Path, typer.Option(help="type,level,mean rows of human scores")],
    pristine: Annotated[Path | None, typer.Option(help="Clean PNG pictures to distort")] = None,
    rated: Annotated[Path | None, typer.Option(help="Rated pictures with an index.csv")] = None,
    card: Annotated[Path | None, typer.Option(help="Model card whose results to renew")] = None,
) -> int:
    """Judge a bundle on distorted clean pictures and on rated ones."""
    check_outputs(out=out, card=card)
    report: dict[str, object] = {}
    with Scorer(model, precision="fp32") as scorer:
        report["model"], report["backend"] = scorer.model_id, f"{scorer.backend} {scorer.precision}"

        def score(frame: Picture8) -> float:
            return scorer.score(frame).score

        if pristine:
            frames = distorted_set(pristine)
            total = len(list(pristine.glob("*.png"))) * len(TYPES) * len(LEVELS)
            tracked = track(frames, "distorted pictures", total)
            report["synthetic"] = synthetic_report(score, iter(tracked), read_type_level(means))
        if rated:
            report["rated"] = rated_report(score, rated)
    out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if card:
        update_card(card, report)
    return 0


if __name__ == "__main__":
    app()
