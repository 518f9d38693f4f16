from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from export.engine import Options, build, build_graph
from export.engine.api import load_toolkit
from export.engine.gpu import find_gpu
from sdk.bundle import DEFAULT_MODEL, Bundle
from sdk.errors import BackendError, BundleError, UsageError

from .small_graphs import quantised, transformer

pytestmark = pytest.mark.usefixtures("rtx", "cache")

ALONE = Options(cache=False)


def test_plan_of_the_packaged_model(cache: Path) -> None:
    engine = build(DEFAULT_MODEL, target="rtx", precision="fp32")
    assert engine.plan.startswith(b"vtrt")
    assert engine.path == cache / engine.info.recipe.entry / "engine.plan"
    assert engine.path.read_bytes() == engine.plan
    assert 4_000_000 < engine.info.size == len(engine.plan) < 40_000_000
    tensors = {x.name: (x.mode, x.type, x.shape) for x in engine.inputs + engine.outputs}
    assert tensors == {
        "fragments": ("input", "uint8", (1, 224, 224, 3)),
        "resize": ("input", "uint8", (1, 224, 224, 3)),
        "score": ("output", "float32", (1,)),
        "mos": ("output", "float32", (1,)),
        "sigma": ("output", "float32", (1,)),
        "distortions": ("output", "float32", (1, 12)),
        "uncertainty": ("output", "float32", (1, 6)),
        "features": ("output", "float32", (1, 192)),
    }
    assert all(name.encode() in engine.plan for name in tensors)
    assert len(engine.fusion.unfused) == 2  # FP32 has no kernel for that
    assert "Engine generation completed" in engine.log.read_text()


@pytest.mark.parametrize("capability", ["sm_75", "sm_80", "sm_86", "sm_89", "sm_120", "sm_121"])
def test_every_capability_of_rtx(capability: str) -> None:
    assert capability in load_toolkit("tensorrt_rtx").capabilities()
    graph = transformer("fp16", native=True)
    engine = build_graph(graph, name="t", precision="fp16", target=capability, options=ALONE)
    assert engine.plan.startswith(b"vtrt")
    assert engine.info.recipe.capabilities == (int(capability[3:]),)
    assert engine.info.recipe.device == ""  # such a plan is tied to no device
    assert engine.path is None
    assert engine.fusion.unfused == ()


@pytest.mark.parametrize("native", [False, True], ids=["compat", "native"])
def test_attention_of_fp16_is_fused(native: bool) -> None:
    graph = transformer("fp16", native=native)
    engine = build_graph(graph, name="t", precision="fp16", target="sm_86", options=ALONE)
    [block] = engine.fusion.blocks
    assert block.node == "attention"
    assert "mha" in block.kernel
    assert str(engine.fusion) == "1 of 1 attention blocks fused (builder log)"


def test_native_attention_of_fp32_falls_apart_and_says_so() -> None:
    graph = transformer("fp32", native=True)
    engine = build_graph(graph, name="t", precision="fp32", target="sm_86", options=ALONE)
    assert engine.fusion.unfused == ("attention",)
    assert str(engine.fusion) == "0 of 1 attention blocks fused (builder log)"


def test_native_attention_is_preferred(bundle: Bundle) -> None:
    engine = build(bundle, target="rtx", precision="fp16")
    assert engine.info.recipe.profile == "native-attention"
    assert engine.precision == "fp16"
    assert engine.fusion.unfused == ()


def test_batch_becomes_a_profile(free_bundle: Bundle) -> None:
    engine = build(free_bundle, target="sm_86", precision="fp16", batch=(1, 8), cache=False)
    [picture], [score] = engine.inputs, engine.outputs
    assert picture.shape == (-1, 64, 64, 3)
    assert picture.shapes == ((1, 64, 64, 3), (8, 64, 64, 3), (8, 64, 64, 3))
    assert score.shape == (-1,)
    assert engine.info.recipe.batch == (1, 8, 8)
    assert engine.fusion.unfused == ()


def test_a_free_batch_may_be_built_for_one_frame(free_bundle: Bundle) -> None:
    engine = build(free_bundle, target="sm_86", precision="fp16", cache=False)
    assert engine.inputs[0].shapes == ((1, 64, 64, 3),) * 3


def test_a_fixed_batch_cannot_become_larger(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="takes one frame at a time; --batch asks for up to 8"):
        build(bundle, target="sm_86", precision="fp16", batch=(1, 8), cache=False)


@pytest.mark.parametrize("batch", [(), (0,), (1, 2, 3, 4)])
def test_batches_that_cannot_be(bundle: Bundle, batch: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="cannot be built"):
        build(bundle, target="sm_86", batch=batch)


def test_precision_that_the_bundle_lacks(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="has no int8 network; it has fp32, fp16") as error:
        build(bundle, target="rtx", precision="int8")
    assert error.value.hint.endswith("framescore export … --precision int8")
    with pytest.raises(UsageError, match="no precision 'fp8'"):
        build(bundle, target="rtx", precision="fp8")


def test_turing_multiplies_no_fp32() -> None:
    with pytest.raises(BackendError, match=r"Turing \(SM75\): FP32 GEMM is not supported") as error:
        build_graph(transformer("fp32"), name="t", precision="fp32", target="sm_75")
    assert "sm_80 and later" in error.value.hint
    log = Path(error.value.hint.rpartition("log: ")[2])
    assert "FP32 GEMM" in log.read_text()
    assert log.name.endswith(".failed.log")


def test_a_failed_build_leaves_the_next_as_it_is() -> None:
    """In one process the second would be five times as large."""
    graph = transformer("fp32")

    def size() -> int:
        engine = build_graph(graph, name="t", precision="fp32", target="sm_86", options=ALONE)
        return engine.info.size

    before = size()
    with pytest.raises(BackendError):
        build_graph(graph, name="t", precision="fp32", target="sm_75", options=ALONE)
    assert size() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(timing_cache="t.cache"), "--timing-cache means nothing .* times no kernels"),
        (Options(version_compatible=True), "--version-compatible means nothing .* lean runtime"),
        (Options(hardware_compat=True), "--hardware-compat means nothing .* name them"),
        (Options(plugins=("libours.so",)), "takes no plugins"),
    ],
)
def test_options_that_rtx_would_ignore_are_refused(options: Options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_graph(b"", name="t", precision="fp16", target="rtx", options=options)


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU, so that this may work")
def test_rtx_strips_only_with_a_gpu() -> None:
    with pytest.raises(UsageError, match="strips weights only where there is a GPU"):
        build_graph(b"", name="t", precision="fp16", target="rtx", options=Options(strip=True))


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden"])
def test_names_that_would_be_paths(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name an engine"):
        build_graph(b"", name=name, precision="fp16", target="rtx")


def test_quantised_activations_are_refused_on_rtx() -> None:
    graph = quantised(activations=True)
    with pytest.raises(BackendError, match="1 are quantised here, the first by 'input_q'"):
        build_graph(graph, name="q", precision="int8", target="sm_86")
    allowed = Options(allow_w8a8=True, cache=False)
    engine = build_graph(graph, name="q", precision="int8", target="sm_86", options=allowed)
    assert engine.plan.startswith(b"vtrt")  # which proves nothing about running it


def test_quantised_weights_are_built() -> None:
    graph = quantised(activations=False)
    engine = build_graph(graph, name="q", precision="int8", target="sm_86", options=ALONE)
    assert len(engine.plan) > 4096  # the weights, a byte each
    assert str(engine.fusion) == "no attention in this network"


def test_building_needs_neither_torch_nor_onnx(bundle: Bundle) -> None:
    script = (
        "import json, sys; from export.engine import build; "
        f"engine = build({str(bundle.path)!r}, target='sm_86'); "
        "print(json.dumps([len(engine.plan), sorted(sys.modules)]))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    size, modules = json.loads(run.stdout)
    assert size > 10_000
    assert {"torch", "onnx", "onnxruntime", "cv2"} & set(modules) == set()
