"""Engines with our attention, as far as it goes without TensorRT and without a GPU."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from export.engine import Options, build, build_graph
from export.engine.api import Features, Toolkit
from export.engine.fusion import AttentionBlock, Fusion
from export.engine.gpu import find_gpu
from export.engine.job import Job
from export.engine.ours import with_our_attention
from export.engine.recipe import Recipe
from export.engine.trial import measure, read_frames, write_frames
from export.progress import silent
from sdk.bundle import Bundle
from sdk.errors import BackendError, UsageError

from .small_graphs import transformer

LIBRARY = Options(plugins=("libframescore_trt11.so",), attention="fused")
WITHIN = Options(attention="fused")


def tensorrt(version: str = "11.4.0.106", *, quick: bool = True) -> Toolkit:
    """What is known of a TensorRT that isn't installed."""
    features = Features(
        ahead_of_time=False, plugins=True, quick_plugins=quick, native_attention=True
    )
    return Toolkit(None, "tensorrt", version, features)


@pytest.mark.parametrize("native", [False, True], ids=["compat", "native"])
def test_the_graph_has_our_node(native: bool) -> None:
    own = with_our_attention(transformer("fp16", native=native), tensorrt(), LIBRARY)
    operators = [node.op_type for node in onnx.load_from_string(own.graph).graph.node]
    assert operators.count("FramescoreAttention") == 1
    assert {"Softmax", "Attention"} & {*operators} == set()
    assert own.nodes == ("attention",)
    assert own.kernels == ()


def test_what_cannot_be_ours_is_refused() -> None:
    with pytest.raises(UsageError, match="computes in float32; there are kernels for fp16") as e:
        with_our_attention(transformer("fp32"), tensorrt(), LIBRARY)
    assert "--attention native" in e.value.hint


@pytest.mark.parametrize(
    ("toolkit", "options", "reason"),
    [
        (tensorrt("10.3.0", quick=False), WITHIN, "takes kernels from a library only"),
        (tensorrt(), Options(attention="fused", batch=(1, 8)), "need a fixed batch"),
    ],
)
def test_a_missing_plugin_is_named(toolkit: Toolkit, options: Options, reason: str) -> None:
    with pytest.raises(BackendError, match=reason) as error:
        with_our_attention(transformer("fp16"), toolkit, options)
    library = f"libframescore_trt{toolkit.version.partition('.')[0]}.so"
    assert f"--plugin {library}" in error.value.hint


@pytest.mark.slow
def test_kernels_travel_to_the_builder() -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc")
    own = with_our_attention(transformer("fp16"), tensorrt(), WITHIN)
    assert {kernel.head_dim for kernel in own.kernels} == {32}
    operators = {node.op_type for node in onnx.load_from_string(own.graph).graph.node}
    assert "attention" in operators
    job = Job(backend="tensorrt", graph="g", plan="p", log="l", kernels=own.kernels)
    line = msgspec.json.encode(job)
    assert b"\n" not in line
    assert msgspec.json.decode(line, type=Job) == job


@pytest.mark.usefixtures("rtx", "cache")
def test_tensorrt_rtx_has_its_own_only(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=r"TensorRT-RTX .* takes no plugins") as error:
        build(bundle, target="sm_86", attention="fused")
    assert "--attention native" in error.value.hint
    engine = build(bundle, target="sm_86", attention="auto", plugins=["libours.so"])
    assert (engine.attention, engine.info.recipe.rewritten_sha256) == ("native", "")
    assert "takes no plugins" in engine.choice
    assert not build(bundle, target="sm_86").choice


def test_unknown_attention(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="no attention 'flash'") as error:
        build(bundle, target="sm_86", attention="flash")
    assert "native, fused, auto" in error.value.hint


@pytest.mark.usefixtures("rtx")
def test_auto_needs_frames() -> None:
    with pytest.raises(UsageError, match="no attention 'auto' for one plan"):
        build_graph(
            transformer("fp16"), name="t", precision="fp16", target="sm_86",
            options=Options(attention="auto"),
        )  # fmt: skip


def test_the_cache_tells_attentions_apart() -> None:
    native = Recipe(
        model="m", onnx_sha256="0" * 64, precision="fp16", profile="compat", target="this",
        batch=(1, 1, 1), backend="tensorrt", version="11.4",
    )  # fmt: skip
    fused = msgspec.structs.replace(native, attention="fused", rewritten_sha256="1" * 64)
    other = msgspec.structs.replace(fused, rewritten_sha256="2" * 64)
    assert len({recipe.entry for recipe in (native, fused, other)}) == 3
    assert not native.is_same_request(fused)
    assert fused.is_same_request(other)
    assert "the network with our attention: 1111" in other.changes(fused)


def test_our_kernel_counts_as_fused() -> None:
    assert str(Fusion().with_ours(["a"])) == "1 of 1 attention blocks fused (our plugin)"
    other = Fusion(blocks=(AttentionBlock(node="b"),), source="builder log").with_ours(["a"])
    assert other.unfused == ("b",)
    assert str(other) == "1 of 2 attention blocks fused (builder log)"
    assert str(Fusion().with_ours([])) == "no attention in this network"


def test_frames_keep_their_order(tmp_path: Path) -> None:
    arrays = {
        f"{i}/{name}": np.full((1, 2, 2, 3), i, np.uint8)
        for i in range(12) for name in ("resize", "fragments")
    }  # fmt: skip
    write_frames(tmp_path / "frames.npz", arrays)
    frames = read_frames(tmp_path / "frames.npz")
    assert [frame["resize"].max() for frame in frames] == list(range(12))
    assert all(set(frame) == {"resize", "fragments"} for frame in frames)


@pytest.mark.usefixtures("rtx", "cache")
@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_an_engine_that_cannot_run_ends_in_an_error(bundle: Bundle) -> None:
    engine = build(bundle, target="sm_86")
    with pytest.raises(BackendError):
        measure(bundle, engine, silent)
