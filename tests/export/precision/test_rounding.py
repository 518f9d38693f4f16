from __future__ import annotations

import numpy as np
import onnx
import pytest

from export.precision.rounding import NonFinite, emulate, find_nonfinite
from export.reference import open_session, run_onnx
from tests.export.precision.graphs import frames, kinds, read_graph

TYPED = """
    a = Cast <to = 10> (x)
    b = Mul (a, grow)
    c = Mul (b, shrink)
    mean = ReduceMean <keepdims = 0> (c)
    flat = Reshape (mean, one)
    score = Cast <to = 1> (flat)
"""


def typed(grow: float, shrink: float) -> onnx.ModelProto:
    return read_graph(
        TYPED, grow=np.float16(grow), shrink=np.float16(shrink), one=np.array([1], np.int64)
    )


def test_each_result_is_rounded_as_numpy_rounds_it() -> None:
    model = typed(1 / 3, 1 / 7)
    frame = frames(1)[0]
    pixels = frame["x"].astype(np.float16)
    expected = pixels * np.float16(1 / 3)  # numpy rounds after every operation
    expected = expected * np.float16(1 / 7)
    score = np.float16(expected.astype(np.float32).mean())
    (found,) = run_onnx(emulate(model).SerializeToString(), [frame])
    assert found["score"].item() == score
    assert {kinds(emulate(model))[name] for name in "abc"} == {"FLOAT"}


def test_bf16_runs_too() -> None:
    body = TYPED.replace("to = 10", "to = 16")
    model = read_graph(body, opset=22, one=np.array([1], np.int64))
    for name, bits in (("grow", 0x3EAB), ("shrink", 0x3E12)):  # 0.333984375, 0.142578125
        model.graph.initializer.add(
            name=name, data_type=onnx.TensorProto.BFLOAT16, raw_data=bits.to_bytes(2, "little")
        )
    frame = {"x": np.full((1, 4, 4, 3), 3, np.uint8)}
    (found,) = run_onnx(emulate(model).SerializeToString(), [frame])
    assert found["score"].item() == 0.142578125  # 3 * 0.333984375 = 1.001953125 becomes 1


def test_the_graph_itself_hides_overflow_on_a_cpu_and_the_emulation_shows_it() -> None:
    """Why `emulate` exists: this runtime drops the casts between nodes that it widens."""
    model = typed(1000, 1 / 1000)
    typed_score = run_onnx(model.SerializeToString(), frames(1))[0]["score"]
    assert np.isfinite(typed_score).all()
    session = open_session(model.SerializeToString(), optimise=False)
    assert np.isfinite(session.run(None, frames(1)[0])[0]).all()
    assert np.isinf(run_onnx(emulate(model).SerializeToString(), frames(1))[0]["score"]).all()


def test_the_first_node_with_infinity_is_named() -> None:
    dark, bright = np.full((1, 4, 4, 3), 9, np.uint8), np.full((1, 4, 4, 3), 90, np.uint8)
    found = find_nonfinite(typed(1000, 1 / 1000), [{"x": dark}, {"x": bright}])
    assert found == NonFinite("b", "Mul", "b", 1, "inf")
    assert find_nonfinite(typed(1000, 1 / 1000), [{"x": dark}]) is None


def test_nan_is_told_from_infinity() -> None:
    model = read_graph(
        """
        a = Cast <to = 1> (x)
        b = Sub (a, a)
        c = Div (b, b)
        mean = ReduceMean <keepdims = 0> (c)
        score = Reshape (mean, one)
        """,
        one=np.array([1], np.int64),
    )
    assert find_nonfinite(model, frames(1)) == NonFinite("c", "Div", "c", 0, "nan")


def test_names_and_the_argument_stay() -> None:
    model = typed(2, 3)
    before = model.SerializeToString()
    emulated = emulate(model)
    assert model.SerializeToString() == before
    names = [node.name for node in emulated.graph.node]
    assert set(names) > {node.name for node in model.graph.node}
    assert len(set(names)) == len(names)
    onnx.checker.check_model(emulated, full_check=True)


@pytest.mark.parametrize("value", [1 / 3, 100.0])
def test_a_float32_graph_stays_as_it_is(value: float) -> None:
    model = read_graph(
        "a = Cast <to = 1> (x) m = ReduceMean <keepdims = 0> (a) score = Mul (m, w)",
        w=np.array([value], np.float32),
    )
    assert emulate(model) == model
