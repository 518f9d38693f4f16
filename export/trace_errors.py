"""Why a network could not be traced, in words that its author can act on."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from export.node_names import innermost, quoted_line
from sdk.errors import UsageError

_BRANCH: Final = "GuardOnDataDependentSymNode"  # torch's names for it, by version
_NO_OPERATOR: Final = re.compile(r"No ONNX function found for .*?op='(?P<op>[\w.]+)'")
_TARGET: Final = re.compile(r"Error when translating node .*?target=torch\.ops\.\w+\.(?P<op>\w+)")

_HINTS: Final = {  # by what the message contains
    "numpy": "Stay with torch operations; what numpy computes is not in the graph.",
    "DynamicOutputShape": "Multiply by a mask instead of selecting: the number of values that are "
    "left must not depend on the picture.",
    "Constraints violated": "The network fixes its batch; leave --dynamic-batch away, or use sizes "
    "of tensors (x.shape[0]) instead of numbers, and slices instead of chunk().",
}  # fmt: skip


def cannot_trace(
    name: str, error: BaseException, stacks: Mapping[str, str] | None = None
) -> UsageError:
    """Explain what tracing stumbled over.

    Args:
        name: The network.
        error: What torch raised, with its causes.
        stacks: The call stack, as text, of each operation that was traced.

    Returns:
        The error to raise: it names the operation and the line of the user's own file.
    """
    chain = list(_causes(error))
    at = _place(chain) or _place_of_operation(chain, stacks or {})
    where = f" in {at}" if at else ""
    if any(_BRANCH in str(type(one).__mro__) for one in chain):
        return UsageError(
            f"{name} cannot be traced: it decides by a value computed from the picture{where}.",
            hint="A graph has one path for all pictures: compute both sides and choose with "
            "torch.where, and keep values in tensors rather than .item() or float().",
        )
    for one in chain:
        if match := _NO_OPERATOR.search(str(one)):
            return UsageError(
                f"{name} cannot be exported: ONNX has no operator for {match['op']}{where}.",
                hint="Compute the same with other operations, or leave that step to before or "
                "after the network.",
            )
    root = chain[-1]
    what = f"{type(root).__name__}: {first_line(root)}"
    hint = next((hint for part, hint in _HINTS.items() if part in str(root) + type(root).__name__),
                "Replace the operation in the network's forward() that this names.")  # fmt: skip
    return UsageError(f"{name} cannot be traced{where}: {what}.", hint=hint)


def cannot_run(name: str, shapes: str, error: BaseException) -> UsageError:
    """Explain that a network does not take what its views give."""
    at = _place([error])
    return UsageError(
        f"{name} cannot take {shapes}{f' ({at})' if at else ''}: {type(error).__name__}: "
        f"{first_line(error)}.",
        hint="Was it made for another size or another number of inputs? Choose the view that it "
        "was trained with, for example --view resize:384x384",
    )


def first_line(error: BaseException) -> str:
    """The first line that says something, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else "no reason given").rstrip(".")


def _causes(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


def _place(chain: Iterable[BaseException]) -> str:
    """The innermost line of the user's, from the stacks or from what the messages quote."""
    for one in chain:
        stack = traceback.extract_tb(one.__traceback__)
        found = innermost((f.filename, f.lineno or 0, f.line or "") for f in stack)
        if quoted := quoted_line(str(one)) or found:
            return quoted
    return ""


def _place_of_operation(chain: Iterable[BaseException], stacks: Mapping[str, str]) -> str:
    """The line of the operation that has no ONNX form; torch may have rewritten its name."""
    for one in chain:
        if match := _TARGET.search(str(one)):
            base = match["op"].lstrip("_")
            return next((quoted_line(text) for op, text in stacks.items() if base in op), "")
    return ""
