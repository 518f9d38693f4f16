"""Weights in the many shapes that training scripts save them in."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sdk.errors import UsageError

NESTED: Final = ("state_dict", "model_state_dict", "model", "params_ema", "params", "net")
PREFIXES: Final = ("module.", "_orig_mod.", "model.", "net.", "network.")
IGNORED: Final = ("num_batches_tracked",)  # counters of batch norm that evaluation doesn't read
SHOWN: Final = 3  # names in a message


def state_dictionary(content: Any, file: str) -> dict[str, Any]:
    """Find the tensors by name in what a training script saved.

    Args:
        content: What the file holds: a state dictionary, or one under a usual name among other
            things, such as an optimiser's state.
        file: How messages call the file.

    Raises:
        UsageError: No state dictionary is where one usually is.
    """
    if isinstance(content, Mapping):
        if content and all(_is_tensor(value) for value in content.values()):
            return dict(content)
        for key in NESTED:
            inner = content.get(key)
            if isinstance(inner, Mapping) and inner:
                return state_dictionary(inner, file)
        kept = {key: value for key, value in content.items() if _is_tensor(value)}
        if kept and all(isinstance(key, str) and "." in key for key in kept):
            return kept  # a state dictionary with a few settings beside the tensors
        found = f"a dictionary of {_some([str(key) for key in content]) or 'nothing'}"
    else:
        found = f"a {type(content).__name__}"
    raise UsageError(
        f"Weights {file} hold {found}, not tensors by name.",
        hint="Save them with torch.save(model.state_dict(), FILE).",
    )


def strip_prefixes(state: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """Remove what wrappers (data parallel, compile, a trainer) put before every name.

    Args:
        state: Tensors by name, as they were saved.
        wanted: The network's own names.

    Returns:
        The same tensors under names that fit better, or as they were.
    """
    stripped = dict(state)
    while stripped and not set(stripped) & set(wanted):
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in stripped)), None)
        if prefix is None:
            break
        stripped = {name[len(prefix) :]: value for name, value in stripped.items()}
    return stripped


def account_for(
    state: Mapping[str, Any],
    wanted: Mapping[str, Any],
    file: str,
    *,
    tied: Sequence[set[str]] = (),
    later: Mapping[str, str] = {},
) -> None:
    """Make sure that weights and network are made for each other.

    Args:
        state: Tensors by name, from the file.
        wanted: The network's tensors by name.
        file: How messages call the file.
        tied: Groups of names that share one tensor, of which files may hold just one.
        later: How tensors come about that a training does not give, by the start of their names.

    Raises:
        UsageError: Names are missing or unexpected, or shapes differ; the first few are named.
    """
    present = set(state)
    shared = {name for group in tied if group & present for name in group}
    missing = [n for n in wanted if n not in present | shared and not n.endswith(IGNORED)]
    unexpected = [name for name in state if name not in wanted and not name.endswith(IGNORED)]
    shapes = [
        f"{name} {list(value.shape)} instead of {list(wanted[name].shape)}"
        for name, value in state.items()
        if name in wanted and tuple(value.shape) != tuple(wanted[name].shape)
    ]
    reasons = [
        f"{len(names)} {kind}: {_some(names)}"
        for kind, names in (
            ("missing", missing), ("unexpected", unexpected), ("of another shape", shapes)
        )
        if names
    ]  # fmt: skip
    ways = [way for start, way in later.items() if missing and missing[0].startswith(start)]
    if reasons:
        raise UsageError(
            f"Weights {file} do not fit the model. Of its {len(wanted)} tensors and the file's "
            f"{len(state)}: {'; '.join(reasons)}.",
            hint=ways[0]
            if ways
            else "Are they of another variant of the model? The function that builds it must give "
            "the one they were trained with.",
        )


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _some(names: Sequence[str]) -> str:
    """The first few names."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
