"""Average pooling over everything, said so.

Some networks pool with a window larger than any feature map and let torch clip it (transformers'
EfficientNet: 1280 x 1280 over 7 x 7). OpenVINO refuses such windows.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper

from export.shapes import shape_of


def say_global_pool(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace average pooling whose window exceeds its input by the mean over it.

    Args:
        model: A graph with inferred shapes; it is not changed.

    Returns:
        An equal graph.
    """
    said = onnx.ModelProto()
    said.CopyFrom(model)
    shapes = {value.name: shape_of(value) for value in (*said.graph.value_info, *said.graph.input)}
    for node in said.graph.node:
        if node.op_type == "AveragePool" and _exceeds(node, shapes.get(node.input[0], ())):
            node.op_type = "GlobalAveragePool"
            node.name = f"{node.name.rpartition('AveragePool')[0]}GlobalAveragePool"
            del node.attribute[:]
    return said


def _exceeds(node: onnx.NodeProto, sides: tuple[int | str, ...]) -> bool:
    """Whether the window is clipped to the whole picture along every axis."""
    settings: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    window = settings["kernel_shape"]
    covered = [
        isinstance(side, int) and side <= length
        for side, length in zip(sides[2:], window, strict=False)
    ]
    larger = any(
        isinstance(side, int) and side < length
        for side, length in zip(sides[2:], window, strict=False)
    )
    return bool(covered) and all(covered) and larger and not any(settings.get("pads", ()))
