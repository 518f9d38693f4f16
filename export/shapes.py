"""The sides of a graph's tensors."""

from __future__ import annotations

import onnx


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    """Return the sides of a tensor: numbers, names of free ones, "" for unknown ones."""
    sides = value.type.tensor_type.shape.dim
    return tuple(s.dim_value if s.HasField("dim_value") else s.dim_param for s in sides)
