"""The network that a bundle was made from, found again to compare with."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from export.models import builder_of, declared_by, find_builder
from export.wish import Wish, grant
from sdk.errors import UsageError

if TYPE_CHECKING:
    from export.original import Original
    from sdk.bundle import Bundle


def find_original(bundle: Bundle, wish: Wish) -> Original:
    """Build the network that somebody says a bundle was made from.

    Args:
        bundle: The bundle; an ordinary network is given what the bundle's one view shows.
        wish: Which network, as for its export; without views.

    Returns:
        The network, with the bundle's name for its input.

    Raises:
        UsageError: It cannot be built, or sees something else than the bundle.
    """
    specs = {name: view.spec for name, view in bundle.views.items()}
    if not _declares_views(wish):
        if len(specs) != 1:
            raise UsageError(
                f"The bundle's network takes {len(specs)} views ({', '.join(specs)}), the original "
                "one picture.",
                hint="Its module must declare VIEWS, as docs/export.md describes.",
            )
        wish = dataclasses.replace(wish, view=next(iter(specs.values())))
    original: Any = grant(wish).original
    if len(specs) == 1 and hasattr(original, "view"):
        original = dataclasses.replace(original, view=(next(iter(specs)), original.view[1]))
    seen = {name: view.spec for name, view in original.views.items()}
    if seen != specs:
        raise UsageError(f"The original sees {_words(seen)}; the bundle sees {_words(specs)}.")
    found: Original = original
    return found


def _declares_views(wish: Wish) -> bool:
    if wish.onnx is not None:
        return False
    module, _ = find_builder(wish.torch or builder_of(wish.name or ""))
    return bool(declared_by(module).views)


def _words(specs: dict[str, str]) -> str:
    return ", ".join(f"{spec} as {name}" for name, spec in specs.items())
