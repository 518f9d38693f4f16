"""16-bit floating point in numpy arrays of uint16, and how far two results lie apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NumberFormat:
    """An element type of status.h."""

    code: int
    nan: int
    encode: Callable[[NDArray[Any]], NDArray[np.uint16]]
    decode: Callable[[NDArray[np.uint16]], NDArray[np.float32]]


def encode_half(values: NDArray[Any]) -> NDArray[np.uint16]:
    return values.astype(np.float16).view(np.uint16)


def decode_half(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    return bits.view(np.float16).astype(np.float32)


def encode_bfloat16(values: NDArray[Any]) -> NDArray[np.uint16]:
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def decode_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (bits.astype(np.uint32) << 16).view(np.float32)


FORMATS = {
    "float16": NumberFormat(0, 0x7E00, encode_half, decode_half),
    "bfloat16": NumberFormat(1, 0x7FC0, encode_bfloat16, decode_bfloat16),
}


def poisoned(bits: NDArray[np.uint16], width: int, number: NumberFormat) -> NDArray[np.uint16]:
    """Widens the last axis; what is added is NaN."""
    padding = [(0, 0)] * (bits.ndim - 1) + [(0, width - bits.shape[-1])]
    return np.pad(bits, padding, constant_values=number.nan)


def relative_error(values: NDArray[Any], reference: NDArray[np.float64]) -> float:
    """Relative L2 distance; NaN where a value is NaN."""
    distance = np.linalg.norm(values.astype(np.float64) - reference)
    return float(distance / np.linalg.norm(reference))
