"""Models by name, and what a module of code says about the model it builds."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from sdk.errors import UsageError

NAMED: Final = {  # "package.module:function" by name
    "glint-edge": "iqa.models.glint_edge:build",
    "glintiqa": "iqa.models.glintiqa:build",
    "qfm-iqm": "iqa.models.qfm_iqm:build",
}
_PLAIN_NAMES: Final = {"build", "create", "make", "model", "get_model", "create_model", "main"}


@dataclass(frozen=True)
class Declared:
    """What a Python module declares about its model, as constants beside the function.

    A module with VIEWS builds networks that take uint8 views; any other builds ordinary ones, from
    a normalised picture to a number.

    Attributes:
        views: VIEWS: view spec by input, in the order of the network's arguments.
        outputs: OUTPUTS: what a network that takes views returns, in order.
        distortion_labels: DISTORTION_LABELS: one name for each entry of `distortions`.
        uncertainty_labels: UNCERTAINTY_LABELS: likewise of `uncertainty`, first "task".
        scene_labels: SCENE_LABELS: likewise of `scenes`.
        abstain_above: ABSTAIN_ABOVE: sigma above which the score should not be trusted.
        view: VIEW: the view an ordinary network was trained with.
        image: MEAN, STD and OUTPUT_RANGE, by those names in lower case, where they are declared.
    """

    views: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("score",)
    distortion_labels: tuple[str, ...] = ()
    uncertainty_labels: tuple[str, ...] = ()
    scene_labels: tuple[str, ...] = ()
    abstain_above: float | None = None
    view: str | None = None
    image: Mapping[str, Any] = field(default_factory=dict)


def builder_of(name: str) -> str:
    """Return the function that builds a named model, as "package.module:function".

    Raises:
        UsageError: There is no model of that name.
    """
    if name in NAMED:
        return NAMED[name]
    if name.endswith(".onnx"):
        hint = f"An ONNX file is exported with --onnx {name}"
    elif ":" in name or "." in name:
        hint = f"A model of your own is exported with --torch {name}"
    else:
        hint = "A model of your own is exported with --torch package.module:function or --onnx FILE"
    raise UsageError(f"There is no model called {name!r}; there are {', '.join(NAMED)}.", hint=hint)


def find_builder(name: str) -> tuple[Any, Callable[[], Any]]:
    """Import "package.module:function"; the current folder is searched first.

    Returns:
        The module and the function.

    Raises:
        UsageError: There is no such module or function, or importing it fails.
    """
    module_name, _, function = name.partition(":")
    hint = (
        "Give package.module:function, for example my_model:build for a function build() in "
        "my_model.py of this folder."
    )
    if not module_name or not function:
        raise UsageError(f"Model {name!r} cannot be built: it names no function.", hint=hint)
    try:
        module = import_from_here(module_name)
    except Exception as error:  # importing runs the module's code, which may raise anything
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise UsageError(f"Model {name!r} cannot be built: {what}.", hint=hint) from error
    builder = getattr(module, function, None)
    if not callable(builder):
        raise UsageError(
            f"Model {name!r} cannot be built: {module_name} has no function {function!r}.",
            hint=hint,
        )
    return module, builder


def import_from_here(module: str) -> Any:
    """Import a module as `python -m` would: what lies in the current folder comes first."""
    sys.path.insert(0, "")
    try:
        return import_module(module)
    finally:
        sys.path.remove("")


def declared_by(module: Any) -> Declared:
    """Read the constants of a module; see `Declared`."""
    image = {
        name.lower(): getattr(module, name)
        for name in ("MEAN", "STD", "OUTPUT_RANGE")
        if hasattr(module, name)
    }
    return Declared(
        views=dict(getattr(module, "VIEWS", {})),
        outputs=tuple(getattr(module, "OUTPUTS", ("score",))),
        distortion_labels=tuple(getattr(module, "DISTORTION_LABELS", ())),
        uncertainty_labels=tuple(getattr(module, "UNCERTAINTY_LABELS", ())),
        scene_labels=tuple(getattr(module, "SCENE_LABELS", ())),
        abstain_above=getattr(module, "ABSTAIN_ABOVE", None),
        view=getattr(module, "VIEW", None),
        image=image,
    )


def id_from(builder: str) -> str:
    """Make a model's id from the function that builds it, or from its module if it says more."""
    module, _, function = builder.partition(":")
    return as_id(module.rpartition(".")[2] if function in _PLAIN_NAMES else function)


def as_id(name: str) -> str:
    """Turn a name into one that a bundle may have."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:64] or "model"
