"""The ahead-of-time plugin against the real `tensorrt.plugin` sources.

They come in the wheel of TensorRT's bindings, which cannot be imported without libnvinfer, so the
module beneath them is replaced: the rules (names, types, schemas, expressions) are TensorRT's own,
engines are not built. What libnvinfer makes of the PTX was never seen.
"""

from __future__ import annotations

import importlib.util
import math
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from export import attention_plugin
from export.attention_plugin import PLUGIN, AttentionKernel, compile_kernels, read_kernel, register
from sdk.errors import BackendError, UsageError

HEADS, HEAD_DIM, TOKENS = 6, 64, 197


class Names(type):
    """A class whose every attribute exists: its own name."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("_"):
            raise AttributeError(name)
        return name


class Core(ModuleType):
    """`tensorrt` without libnvinfer: classes made when they are asked for."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("_"):
            raise AttributeError(name)
        made = Names(name, (), {"__init__": lambda *_: None})
        setattr(self, name, made)
        return made


class Number:
    """A dimension that is known."""

    def __init__(self, value: int) -> None:
        self.value = value

    def is_constant(self) -> bool:
        return True

    def get_constant_value(self) -> int:
        return self.value


class Expressions:
    """TensorRT's expression builder on known numbers."""

    OPERATIONS: ClassVar = {
        "FLOOR_DIV": lambda a, b: a // b,
        "CEIL_DIV": lambda a, b: -(-a // b),
        "SUM": lambda a, b: a + b,
    }

    def constant(self, value: int) -> Number:
        assert -(2**31) <= value < 2**31
        return Number(value)

    def operation(self, operation: str, a: Number, b: Number) -> Number:
        return Number(self.OPERATIONS[operation](a.value, b.value))


@pytest.fixture
def trtp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The plugin package of the bindings' wheel, on our stand-in for the module beneath."""
    found = importlib.util.find_spec("tensorrt_bindings")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs the wheel tensorrt-cu13-bindings")
    folder = Path(found.submodule_search_locations[0])
    core = Core("tensorrt")
    core.__path__ = [str(folder)]
    core.DataType = Enum("DataType", ["FLOAT", "HALF", "BF16"])
    core.Dims = type("Dims", (tuple,), {"MAX_DIMS": 8})
    core.DimsExprs = lambda axes: [None] * axes
    core.IDimensionExpr = Number
    core.get_plugin_registry = lambda: SimpleNamespace(
        register_creator=lambda *_: None, get_creator=lambda *_: None
    )
    core.Logger = type("Logger", (), {"WARNING": 0, "log": lambda *_: None})
    monkeypatch.setitem(sys.modules, "tensorrt", core)
    yield importlib.import_module("tensorrt.plugin")
    for name in [name for name in sys.modules if name.startswith("tensorrt.")]:
        del sys.modules[name]


def kernel(
    tile: int, rows: int, element: str = "HALF", head_dim: int = HEAD_DIM
) -> AttentionKernel:
    return AttentionKernel(element, head_dim, tile, f"ptx of tile {tile}", rows, 128, 40960)


KERNELS = [kernel(2, 64), kernel(4, 16), kernel(2, 64, "BF16"), kernel(2, 64, head_dim=32)]


def test_tensorrt_accepts_the_registration(trtp: Any) -> None:
    register(KERNELS)
    plugin = trtp._lib.QDP_REGISTRY[PLUGIN]
    assert plugin.input_tensor_names == ["qkv"]
    assert plugin.input_attrs == {"heads": int, "scale": float}
    assert plugin.num_outputs == 1
    assert plugin.impl_func is None  # so that nobody has to choose between two forms
    assert hasattr(trtp.op.framescore, "attention")


def test_tactics_are_the_tiles_of_this_head_dimension(trtp: Any) -> None:
    register(KERNELS)
    tune = trtp._lib.QDP_REGISTRY[PLUGIN].autotune_func
    qkv = SimpleNamespace(shape=(1, TOKENS, 3 * HEADS * HEAD_DIM))
    offers = [c for offer in tune(qkv, HEADS, 0.125, ()) for c in offer._get_combinations()]
    found = {(tuple(o.types), tuple(o.layouts), tuple(o.tactics)) for o in offers}
    data, linear = sys.modules["tensorrt"].DataType, "LINEAR"
    assert found == {
        ((data.HALF,) * 2, (linear,) * 2, (2, 4)),
        ((data.BF16,) * 2, (linear,) * 2, (2,)),
    }
    with pytest.raises(UsageError, match="head dimension 48"):
        tune(SimpleNamespace(shape=(1, TOKENS, 3 * HEADS * 48)), HEADS, 0.125, ())


@pytest.mark.parametrize(("tactic", "rows"), [(2, 64), (4, 16), (0, 64)])
def test_the_launch_as_tensorrt_reads_it(trtp: Any, tactic: int, rows: int) -> None:
    """Through TensorRT's own template of an ahead-of-time plugin, which checks every type."""
    register(KERNELS)
    template, parameters, arguments = launched(trtp, "HALF", tactic)
    name, ptx = template.get_kernel(*described("HALF"))
    assert (name, ptx) == ("framescore_attention", f"ptx of tile {2 if rows == 64 else 4}".encode())
    grid = [parameters.grid_x, parameters.grid_y, parameters.grid_z]
    assert [value.expr.value for value in grid] == [-(-TOKENS // rows), HEADS, 3]
    block = [parameters.block_x, parameters.block_y, parameters.block_z, parameters.shared_mem]
    assert [value.expr.value for value in block] == [128, 1, 1, 40960]
    tokens, bits = (arguments[i].expr.value for i in range(arguments.nbSymExprs))
    assert tokens == TOKENS
    assert struct.unpack("<f", struct.pack("<i", bits))[0] == pytest.approx(
        0.125 * math.log2(math.e)
    )


def test_bf16_takes_its_own_kernel(trtp: Any) -> None:
    register([kernel(2, 64), kernel(3, 32, "BF16")])
    template, _, _ = launched(trtp, "BF16", 3)
    assert template.get_kernel(*described("BF16"))[1] == b"ptx of tile 3"
    with pytest.raises(UsageError, match="BF16, head dimension 64 and tactic 2"):
        launched(trtp, "BF16", 2)


def described(element: str) -> tuple[list[Any], list[Any]]:
    """Input and output as TensorRT describes them."""
    dtype = sys.modules["tensorrt"].DataType[element]
    dims = [(3, TOKENS, 3 * HEADS * HEAD_DIM), (3, TOKENS, HEADS * HEAD_DIM)]
    made = [SimpleNamespace(dims=d, type=dtype, format="LINEAR", scale=0) for d in dims]
    return made[:1], made[1:]


class Arguments(dict[int, Any]):
    """TensorRT's receiver of extra arguments."""

    nbSymExprs = 0


def launched(trtp: Any, element: str, tactic: int) -> tuple[Any, Any, Arguments]:
    trt = sys.modules["tensorrt"]
    definition = trtp._lib.QDP_REGISTRY[PLUGIN]
    template = trtp._plugin_class._TemplateAOTPlugin("attention", "framescore", 1)
    attributes = {"heads": HEADS, "scale": 0.125}
    template.init(
        definition.register_func, attributes, definition.aot_impl_attr_names,
        definition.aot_impl_func, definition.autotune_attr_names, definition.autotune_func,
    )  # fmt: skip
    template.set_tactic(tactic)
    inputs, outputs = described(element)
    dynamic = []
    for tensor in (*inputs, *outputs):
        desc = trt.DynamicPluginTensorDesc()
        desc.desc = tensor
        desc.min = desc.max = desc.opt = tensor.dims
        dynamic.append(desc)
    builder = Expressions()
    dims = [[Number(length) for length in inputs[0].dims]]
    assert template.get_output_data_types([inputs[0].type], [3]) == [inputs[0].type]
    [shape] = template.get_output_shapes(dims, [], builder)
    assert [d.value for d in shape] == [3, TOKENS, HEADS * HEAD_DIM]
    parameters, arguments = SimpleNamespace(), Arguments()
    template.get_launch_params(dims, dynamic, 1, parameters, arguments, builder)
    return template, parameters, arguments


def test_without_tensorrt_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(BackendError, match="cannot be loaded") as caught:
        register(KERNELS)
    assert "framescore[trt]" in caught.value.hint


def test_an_old_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    monkeypatch.setitem(sys.modules, "tensorrt.plugin", ModuleType("tensorrt.plugin"))
    with pytest.raises(BackendError, match=r"came with 10\.9"):
        register(KERNELS)


def test_nothing_to_register_is_refused() -> None:
    with pytest.raises(UsageError, match="No kernels"):
        register([])


@pytest.mark.parametrize(("head_dim", "elements"), [(40, ("HALF",)), (64, ("FLOAT",))])
def test_unknown_kernels_are_refused(head_dim: int, elements: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="has no kernel; there are HALF, BF16 with 32, 48"):
        compile_kernels(Path("kernels"), head_dim, elements)


def test_a_missing_compiler_is_named(repository: Path) -> None:
    with pytest.raises(BackendError, match="no-such-nvcc cannot be run"):
        compile_kernels(repository / "kernels", 64, nvcc="no-such-nvcc")


def test_foreign_ptx_is_refused() -> None:
    with pytest.raises(BackendError, match="has no framescore_attention_launch"):
        read_kernel("HALF", 64, 2, ".version 9.0")


def test_nvcc_leaves_last_zeros_out() -> None:
    array = ".global .align 4 .b8 framescore_attention_launch[12]"
    whole = read_kernel("HALF", 64, 2, f"{array} = {{64, 0, 0, 0, 128, 0, 0, 0, 0, 160}};")
    assert (whole.rows, whole.threads, whole.shared_bytes) == (64, 128, 40960)
    assert read_kernel("HALF", 128, 1, f"{array};").rows == 0


@pytest.mark.slow
def test_the_ptx_of_every_tile(repository: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc")
    compiled = compile_kernels(repository / "kernels", 64)
    assert {k.tile for k in compiled} == {1, 2, 3, 4}  # the resident tile takes more than 48 KB
    for one in compiled:
        assert one.shared_bytes <= attention_plugin.MAX_SHARED_BYTES
        assert one.rows % 16 == 0
        assert one.threads == 128
        assert re.findall(r"\.target (\S+)", one.ptx) == ["sm_80"]
        [entry] = re.findall(r"\.visible \.entry (\w+)\(([^)]*)\)", one.ptx)
        assert entry[0] == "framescore_attention"
        assert re.findall(r"\.param \.(\w+)", entry[1]) == ["u64", "u32", "u32", "u64"]
        assert f".maxntid {one.threads}" in one.ptx
    wide = compile_kernels(repository / "kernels", 128, ("BF16",))
    assert {k.tile for k in wide} == {2, 4}
