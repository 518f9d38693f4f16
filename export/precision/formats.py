"""What the two short float formats hold, and how values are rounded to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from sdk.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Format:
    """A float format of 16 bits.

    Attributes:
        name: As precisions are called: "fp16" or "bf16".
        kind: Its TensorProto type.
        bits: Significant bits, with the hidden one.
        largest: Largest finite number.
        smallest: Smallest number of full precision; below it bits are lost, then all.
        opset: First ONNX operator set whose convolutions, activations and norms all take it.
    """

    name: str
    kind: int
    bits: int
    largest: float
    smallest: float
    opset: int

    @property
    def type_name(self) -> str:
        """The type as ONNX operator schemas write it."""
        return "tensor(float16)" if self.kind == TensorProto.FLOAT16 else "tensor(bfloat16)"


FP16: Final = Format("fp16", TensorProto.FLOAT16, 11, 65504.0, 2.0**-14, 17)
BF16: Final = Format("bf16", TensorProto.BFLOAT16, 8, 2.0**128 - 2.0**120, 2.0**-126, 22)


def find_format(precision: str) -> Format:
    """Look a format up by its name.

    Raises:
        UsageError: It is neither fp16 nor bf16.
    """
    for form in (FP16, BF16):
        if form.name == precision:
            return form
    raise UsageError(f"Precision {precision!r} is no float format of 16 bits: fp16, bf16.")


def round_to(values: NDArray[np.float32], form: Format) -> NDArray[np.float32]:
    """Round to the nearest number of a format, ties to even; too large becomes infinite."""
    if form is FP16:
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    return (_bf16_bits(values).astype(np.uint32) << 16).view(np.float32)


def low_tensor(tensor: TensorProto, form: Format, name: str) -> TensorProto:
    """Store a float32 tensor in a short format."""
    values = numpy_helper.to_array(tensor)
    if form is FP16:
        with np.errstate(over="ignore"):
            return numpy_helper.from_array(values.astype(np.float16), name)
    bits = _bf16_bits(values)
    return TensorProto(
        name=name,
        data_type=TensorProto.BFLOAT16,
        dims=tensor.dims,
        raw_data=bits.astype("<u2").tobytes(),
    )


def full_tensor(tensor: TensorProto, name: str) -> TensorProto:
    """Widen a tensor of a short format to float32; every value is kept."""
    if tensor.data_type == TensorProto.BFLOAT16:
        bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
        return numpy_helper.from_array(bits.view(np.float32).reshape(tuple(tensor.dims)), name)
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), name)


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators that a graph uses."""
    versions = {entry.domain: int(entry.version) for entry in model.opset_import}
    return versions["" if "" in versions else "ai.onnx"]


def _bf16_bits(values: NDArray[Any]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded by its lower half."""
    bits = np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint32)
    even = (bits >> 16) & 1
    upper = ((bits + 0x7FFF + even) >> 16).astype(np.uint16)
    upper[np.isnan(bits.view(np.float32))] = 0x7FC0  # a NaN's payload would carry into its sign
    return upper.reshape(np.shape(values))
