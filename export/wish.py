"""From what people ask for on the command line to a model and its description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from export.convention import ImageConvention, Triple
from export.description import Description, describe, read_fields
from export.models import Declared, as_id, builder_of, declared_by, find_builder, id_from
from sdk.errors import BundleError, UsageError
from sdk.views import View

if TYPE_CHECKING:
    from export.original import Original

INPUT: Final = "image"  # what the one input of an ordinary network is called
_IMAGE_FIELDS: Final = ("mean", "std", "bgr", "output_range", "output")
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NO_VIEW: Final = (
    "Say what it sees of a frame: --view resize:384x384 (the whole frame, reduced), "
    "--view crops:5x5@224 (a grid of crops, whose scores are averaged) or --view fragments:7x32."
)


@dataclass(frozen=True)
class Wish:
    """What to export and how it is meant; None where nothing was said.

    Attributes:
        name: A name of `export.models.NAMED`.
        torch: "package.module:function".
        onnx: An ONNX file.
        weights: Weights for the first two.
        view: View spec of an ordinary network.
        image: Fields of the image convention: mean, std, bgr, output_range, output.
        description: JSON file with fields of `Description` and of `image`.
        fields: Fields of the description that override the file's.
    """

    name: str | None = None
    torch: str | None = None
    onnx: Path | None = None
    weights: Path | None = None
    view: str | None = None
    image: Mapping[str, Any] = field(default_factory=dict)
    description: Path | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Granted:
    """What is exported.

    Attributes:
        original: The model.
        description: What the bundle says about it.
        notes: What was assumed and the user may want to say.
    """

    original: Original
    description: Description
    notes: tuple[str, ...]


def grant(wish: Wish) -> Granted:
    """Find, build and describe the model that somebody wishes to export.

    Raises:
        UsageError: It isn't clear which model, it cannot be built, or options contradict it.
    """
    if sum(target is not None for target in (wish.name, wish.torch, wish.onnx)) != 1:
        raise UsageError(
            "Say which model to export: one of NAME, --torch and --onnx.",
            hint="For example: framescore export --torch my_model:build --weights weights.pt "
            "--view resize:384x384",
        )
    if wish.onnx is not None:
        return _grant_onnx(wish, wish.onnx)
    builder = wish.torch or builder_of(wish.name or "")
    if wish.name and wish.weights is None:
        raise UsageError(
            f"{wish.name} needs weights: without them its scores are random.",
            hint=f"Give them with --weights FILE; for a trial with random ones: --torch {builder}",
        )
    module, _ = find_builder(builder)
    return _grant_torch(wish, builder, declared_by(module))


def parse_triple(text: str, what: str) -> Triple:
    """Read "0.5" or "0.485,0.456,0.406".

    Raises:
        UsageError: It is neither one number nor three.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return (numbers[0],) * 3
    if len(numbers) == 3:
        return (numbers[0], numbers[1], numbers[2])
    raise UsageError(
        f"{what} is {text!r}; allowed are one number or three with commas between.",
        hint=f"For example {what} 0.485,0.456,0.406",
    )


def parse_range(text: str) -> tuple[float, float]:
    """Read "0:1", worst first.

    Raises:
        UsageError: It is something else.
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise UsageError(
            f"--output-range is {text!r}; allowed is WORST:BEST, two numbers.",
            hint="For example 0:1, 1:5, or 100:0 for a network whose lower numbers are better.",
        ) from None
    return low, high


def _grant_onnx(wish: Wish, path: Path) -> Granted:
    from export.from_onnx import fixed_size, load_onnx

    if wish.weights is not None:
        raise UsageError("An ONNX file holds its weights; --weights is for torch models.")
    stated = read_fields(wish.description) if wish.description else {}
    image, notes = _image(wish, stated, Declared())
    model = load_onnx(path)
    spec = wish.view or _stated_view(stated) or fixed_size(model)
    if spec is None:
        raise UsageError(f"{path} takes pictures of any size.", hint=_NO_VIEW)
    original = model.seen_through(_view(stated, spec), image)
    description = _describe(wish, stated, as_id(path.stem), original, Declared())
    return Granted(original, description, (*notes, *_licence_note(description)))


def _grant_torch(wish: Wish, builder: str, declared: Declared) -> Granted:
    from export.to_onnx import ImageNetwork, ViewNetwork, load_model

    stated = read_fields(wish.description) if wish.description else {}
    original: Original
    if declared.views:
        _refuse_image_options(wish, builder)
        views = {name: _parse(spec) for name, spec in declared.views.items()}
        _refuse_other_views(stated, declared.views, builder)
        network = load_model(builder, wish.weights)
        original = ViewNetwork(network, views, getattr(network, "outputs", declared.outputs))
        notes: tuple[str, ...] = ()
    else:
        spec = wish.view or _stated_view(stated) or declared.view
        if spec is None:
            raise UsageError(f"{builder} does not say what its network sees.", hint=_NO_VIEW)
        image, notes = _image(wish, stated, declared)
        view = _view(stated, spec)
        original = ImageNetwork(load_model(builder, wish.weights), view, image)
    name = wish.name or id_from(builder)
    description = _describe(wish, stated, name, original, declared)
    return Granted(original, description, (*notes, *_licence_note(description)))


def _refuse_image_options(wish: Wish, builder: str) -> None:
    given = [f"--{name.replace('_', '-')}" for name in wish.image]
    given += ["--view"] if wish.view else []
    if given:
        raise UsageError(
            f"{builder} declares VIEWS: its network takes uint8 views and normalises inside, so "
            f"{', '.join(given)} cannot be used."
        )


def _refuse_other_views(
    stated: Mapping[str, Any], declared: Mapping[str, str], builder: str
) -> None:
    views = {view.get("input"): view.get("spec") for view in stated.get("views", ())}
    if views and views != dict(declared):
        raise UsageError(
            f"The description's views are {_views(views)}; {builder} declares {_views(declared)}."
        )


def _views(specs: Mapping[Any, Any]) -> str:
    return ", ".join(f"{name} {spec}" for name, spec in specs.items())


def _image(
    wish: Wish, stated: Mapping[str, Any], declared: Declared
) -> tuple[ImageConvention, tuple[str, ...]]:
    """How the network reads pixels: options before the description, that before the module."""
    said = {**declared.image, **{n: stated[n] for n in _IMAGE_FIELDS if n in stated}, **wish.image}
    notes = []
    if "mean" not in said and "std" not in said:
        notes.append(
            "pixels are given to the network from 0 to 1; if it was trained with a mean and a "
            "deviation, say --mean and --std."
        )
    if "output_range" not in said:
        notes.append("its output is taken to run from 0 (worst) to 1 (best); see --output-range.")
    low, high = said.get("output_range", (0.0, 1.0))
    try:
        convention = ImageConvention(
            mean=_triple(said.get("mean", 0.0)),
            std=_triple(said.get("std", 1.0)),
            bgr=bool(said.get("bgr", False)),
            low=float(low),
            high=float(high),
            output=said.get("output"),
        )
    except TypeError as error:
        raise UsageError(f"Mean, deviation and output range cannot be used: {error}.") from error
    return convention, tuple(notes)


def _triple(value: Any) -> Triple:
    if isinstance(value, int | float):
        return (float(value),) * 3
    red, green, blue = (float(number) for number in value)
    return red, green, blue


def _stated_view(stated: Mapping[str, Any]) -> str | None:
    views = stated.get("views") or [{}]
    return views[0].get("spec") if len(views) == 1 else None


def _view(stated: Mapping[str, Any], spec: str) -> tuple[str, View]:
    views = stated.get("views") or [{}]
    return views[0].get("input", INPUT), _parse(spec)


def _parse(spec: str) -> View:
    try:
        return View.parse(spec)
    except BundleError as error:
        raise UsageError(error.message, hint="For example --view resize:384x384") from error


def _describe(
    wish: Wish, stated: Mapping[str, Any], name: str, original: Original, declared: Declared
) -> Description:
    fields = {
        "id": name,
        "version": "1",
        "description": "",
        "licence": "unknown",
        "sources": (),
        "outputs": original.outputs,
        "distortion_labels": declared.distortion_labels,
        "uncertainty_labels": declared.uncertainty_labels,
        "scene_labels": declared.scene_labels,
        "abstain_above": declared.abstain_above,
        **{key: value for key, value in stated.items() if key not in _IMAGE_FIELDS},
        **wish.fields,
        "views": [{"input": key, "spec": view.spec} for key, view in original.views.items()],
    }
    description = describe(fields, f"description {wish.description or ''}".strip())
    if not _ID.fullmatch(description.id):
        raise UsageError(
            f"The model's id is {description.id!r}; allowed are up to 64 lower-case letters, "
            "digits, '.', '_' and '-', the first a letter or digit.",
            hint=f"For example --id {as_id(description.id)}",
        )
    if description.outputs != original.outputs:
        raise UsageError(
            f"The description names the outputs {', '.join(description.outputs)}; the model has "
            f"{', '.join(original.outputs)}."
        )
    return description


def _licence_note(description: Description) -> tuple[str, ...]:
    if description.licence != "unknown":
        return ()
    return ("the licence of the model is unknown; say it with --licence, for example MIT.",)
