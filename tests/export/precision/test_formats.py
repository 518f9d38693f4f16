from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from export.precision.formats import (
    BF16,
    FP16,
    Format,
    find_format,
    full_tensor,
    low_tensor,
    opset_of,
    round_to,
)
from sdk.errors import UsageError

TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
AWKWARD = np.array(
    [0.0, -0.0, 1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8, 65519.0, 65520.0,
     1e-7, 2.0**-25, -1e-40, 3.4e38, np.inf, -np.inf, np.nan, -1 / 3],
    np.float32,
)  # fmt: skip


def values() -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    spread = np.exp(random.uniform(-30, 30, 4096)) * random.choice([-1, 1], 4096)
    return np.concatenate([AWKWARD, spread.astype(np.float32)])


def as_torch(form: Format) -> NDArray[np.float32]:
    rounded: NDArray[np.float32] = torch.from_numpy(values()).to(TYPES[form.name]).float().numpy()
    return rounded


@pytest.mark.parametrize("form", [FP16, BF16], ids=lambda form: form.name)
def test_values_round_as_torch_rounds_them(form: Format) -> None:
    np.testing.assert_array_equal(round_to(values(), form), as_torch(form))


@pytest.mark.parametrize("form", [FP16, BF16], ids=lambda form: form.name)
def test_tensors_are_stored_with_those_values(form: Format) -> None:
    tensor = numpy_helper.from_array(values().reshape(-1, 16), "w")
    low = low_tensor(tensor, form, "short")
    onnx.checker.check_tensor(low)
    assert (low.name, low.data_type, list(low.dims)) == ("short", form.kind, list(tensor.dims))
    wide = full_tensor(low, "wide")
    assert wide.data_type == TensorProto.FLOAT
    np.testing.assert_array_equal(numpy_helper.to_array(wide).ravel(), as_torch(form))


@pytest.mark.parametrize("form", [FP16, BF16], ids=lambda form: form.name)
def test_limits_are_those_of_the_format(form: Format) -> None:
    limits = torch.finfo(TYPES[form.name])
    assert (form.largest, form.smallest) == (limits.max, limits.smallest_normal)
    assert 2.0 ** (1 - form.bits) == limits.eps


def test_scalars_keep_their_shape() -> None:
    assert round_to(np.array(1 / 3, np.float32), BF16).shape == ()
    assert list(low_tensor(numpy_helper.from_array(np.float32(2), "s"), BF16, "s").dims) == []


def test_other_precisions_are_refused() -> None:
    with pytest.raises(UsageError, match="fp8"):
        find_format("fp8")


def test_the_opset_is_that_of_standard_operators() -> None:
    entries = [onnx.helper.make_opsetid("com.example", 3), onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(onnx.GraphProto(), opset_imports=entries)
    assert opset_of(model) == 20
