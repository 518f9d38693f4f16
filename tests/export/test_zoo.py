"""Models that nobody here wrote: torch, ONNX Runtime and OpenVINO agree, TensorRT-RTX builds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from export.convention import ImageConvention  # noqa: E402
from export.engine import Options, build_graph  # noqa: E402
from export.engine.api import load_toolkit  # noqa: E402
from export.engine.targets import Target  # noqa: E402
from export.graph import OPSETS  # noqa: E402
from export.mixed_precision import to_low_precision  # noqa: E402
from export.reference import run_scores  # noqa: E402
from export.to_onnx import ImageNetwork  # noqa: E402
from export.verify.typed import TypedBackend  # noqa: E402
from sdk.views import View  # noqa: E402

from .zoo import ZOO, build, pictures  # noqa: E402

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

TOLERANCE = 0.01  # points; scores spread over 60, and heads amplify float32's noise
TOLERANCE_FP16 = 0.5  # points: what the gate allows
SPREAD = 55
FP32_PRODUCTS = {"MobileViT-S"}  # of whose FP16 graph an attention stays FP32 with these weights


def network_of(name: str) -> ImageNetwork:
    entry = ZOO[name]
    mean, std = entry.normalisation
    convention = ImageConvention(mean=mean, std=std, low=0, high=100)
    shown = [
        torch.from_numpy(convention.pixels(picture, channels_first=True))
        for picture in pictures(entry.size)
    ]
    view = View.parse(f"resize:{entry.size}x{entry.size}")
    return ImageNetwork(build(entry, shown), ("image", view), convention)


def openvino_scores(graph: bytes, frames: list[dict[str, NDArray[np.uint8]]]) -> NDArray[Any]:
    ov = pytest.importorskip("openvino")
    core = ov.Core()
    model = core.compile_model(core.read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array([model(frame)["score"].item() for frame in frames])


@pytest.mark.parametrize("name", list(ZOO))
def test_scores_are_equal_everywhere(name: str) -> None:
    entry, network = ZOO[name], network_of(name)
    frames = [{"image": picture} for picture in pictures(entry.size)]
    expected = np.array([network.run(frame)["score"].item() for frame in frames])
    assert np.ptp(expected) > SPREAD
    for profile in OPSETS if entry.attentions else ["compat"]:
        graph = network.graph(profile)
        check_operators(graph, name, profile)
        data = graph.SerializeToString()
        for scores in (run_scores(data, frames), openvino_scores(data, frames)):
            np.testing.assert_allclose(scores, expected, rtol=0, atol=TOLERANCE)
        check_plan(data, "fp32", profile, turing=False)
        low = to_low_precision(graph, frames).model.SerializeToString()
        typed = TypedBackend(low, "fp16")
        rounded = [typed.infer(frame)["score"].item() for frame in frames]
        np.testing.assert_allclose(rounded, expected, rtol=0, atol=TOLERANCE_FP16)
        check_plan(low, "fp16", profile, turing=name not in FP32_PRODUCTS)


def check_plan(graph: bytes, precision: str, profile: str, *, turing: bool) -> None:
    """Build an engine for every GPU generation at once; TensorRT-RTX needs no GPU to build.

    On Turing (sm_75) it multiplies no FP32 matrices.
    """
    pytest.importorskip("tensorrt_rtx")
    toolkit = load_toolkit("tensorrt_rtx")
    capabilities = set(toolkit.capabilities().values())
    assert capabilities >= {75, 80, 86, 89, 120, 121}
    if not turing:
        capabilities.remove(75)
    target = Target("all", toolkit, tuple(sorted(capabilities)))
    engine = build_graph(
        graph, name="zoo", precision=precision, target=target, profile=profile,
        options=Options(cache=False),
    )  # fmt: skip
    assert len(engine.plan) > len(graph) / 2
    assert engine.fusion.source or not engine.fusion.blocks  # fused or not: it is known


def check_operators(graph: onnx.ModelProto, name: str, profile: str) -> None:
    entry = ZOO[name]
    count = Counter(node.op_type for node in graph.graph.node)
    native = profile == "native-attention"
    assert [entry.version for entry in graph.opset_import] == [OPSETS[profile]]
    assert graph.ir_version <= 10
    assert count["LayerNormalization"] == entry.layer_norms
    assert count["Attention"] == (entry.attentions if native else 0)
    names = [node.name for node in graph.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
