"""Names by which people find a graph's nodes: the module they come from, and its source line."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"  # written by torch's exporter
_TRACE = "pkg.torch.onnx.stack_trace"
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \w+\n\s*(?P<code>[^\n]*)')
_TRACERS = {"torch", "onnxscript", "onnx_ir"}
_WRAPPER = "network"  # the attribute under which `export.to_onnx` wraps a module


def name_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every node a name of its own.

    Nodes traced from torch are named after the module that they come from and their operator,
    "blocks.0.attn.proj/MatMul"; others keep their names. A name that repeats gets a number.

    Args:
        model: A graph; it is not changed.

    Returns:
        The same graph with unique node names.
    """
    named = onnx.ModelProto()
    named.CopyFrom(model)
    seen: Counter[str] = Counter(node.name for node in named.graph.node if not _scoped(node))
    taken = {name for name, count in seen.items() if count == 1 and name}
    used: set[str] = set()
    for node in named.graph.node:
        if node.name in taken and not _scoped(node):
            used.add(node.name)
            continue
        node.name = _free(_scoped(node) or node.name or node.op_type, taken | used)
        used.add(node.name)
    return named


def source_lines(model: onnx.ModelProto) -> dict[str, str]:
    """Return the source line that each tensor of a traced graph was computed in."""
    lines = {}
    for node in model.graph.node:
        trace = next((entry.value for entry in node.metadata_props if entry.key == _TRACE), "")
        if found := quoted_line(trace):
            lines.update(dict.fromkeys(node.output, found))
    return lines


def quoted_line(text: str) -> str:
    """Describe the innermost frame, as `innermost` does, of a stack that is quoted in a text."""
    return innermost((m["file"], int(m["line"]), m["code"]) for m in _FRAME.finditer(text))


def innermost(frames: Iterable[tuple[str, int, str]]) -> str:
    """Describe the innermost frame of a call stack that is neither torch's nor this package's.

    Args:
        frames: File, line number and code, outermost first.

    Returns:
        "model.py, line 12: `x = x[x > 0]`", or "" if every frame is torch's or ours.
    """
    found = ""
    for file, line, code in frames:
        if _can_change(file):
            found = f"{_shown(Path(file))}, line {line}: `{code.strip()}`"
    return found


@lru_cache(maxsize=1024)
def _can_change(name: str) -> bool:
    """Whether a file is neither torch's nor Python's nor this package's."""
    file = Path(name)
    if not file.is_file() or file.parent == Path(__file__).parent:
        return False
    if "site-packages" in file.parts:
        return file.parts[file.parts.index("site-packages") + 1] not in _TRACERS
    return not file.is_relative_to(sysconfig.get_path("stdlib"))


def _shown(file: Path) -> str:
    """A path as users know it: relative where it lies below the current folder."""
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)


def _scoped(node: onnx.NodeProto) -> str:
    """The name after the module a node was traced from, or "" if there is none."""
    properties: Mapping[str, str] = {entry.key: entry.value for entry in node.metadata_props}
    if _SCOPES not in properties:
        return ""
    scopes = ast.literal_eval(properties[_SCOPES])
    path = scopes[-2] if len(scopes) > 1 and not scopes[-2].startswith("_") else ""
    path = path.removeprefix(_WRAPPER).removeprefix(".")
    return f"{path}/{node.op_type}" if path else str(node.op_type)


def _free(name: str, used: set[str]) -> str:
    if name not in used:
        return name
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"
