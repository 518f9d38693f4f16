"""Plans of the models that have names, for every GPU generation that TensorRT-RTX builds for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX isn't installed: the extra rtx")

from export.convention import ImageConvention  # noqa: E402
from export.engine import Options, build_graph  # noqa: E402
from export.engine.api import load_toolkit  # noqa: E402
from export.engine.targets import Target  # noqa: E402
from export.mixed_precision import to_low_precision  # noqa: E402
from export.models import NAMED, declared_by, find_builder  # noqa: E402
from export.to_onnx import ImageNetwork, ViewNetwork  # noqa: E402
from sdk.views import View  # noqa: E402

if TYPE_CHECKING:
    from export.original import Original

pytestmark = pytest.mark.slow

UNFUSED = {"glintiqa": 5}  # attention over channels, whose heads are too wide for a kernel
TURING = 75  # TensorRT-RTX multiplies no FP32 matrices there


def original(name: str) -> Original:
    """The network as `framescore export` takes it; one crop instead of many, random weights."""
    module, build = find_builder(NAMED[name])
    declared = declared_by(module)
    torch.manual_seed(0)
    network = build().eval()
    if declared.views:
        views = {key: View.parse(spec) for key, spec in declared.views.items()}
        return ViewNetwork(network, views, declared.outputs)
    convention = ImageConvention(mean=declared.image["mean"], std=declared.image["std"])
    return ImageNetwork(network, ("image", View.parse("crops:1x1@224")), convention)


@pytest.mark.parametrize("name", list(NAMED))
def test_fp32_fp16_and_native_attention(name: str) -> None:
    network = original(name)
    random = np.random.default_rng(0)
    frames = [
        {key: random.integers(0, 256, view.shape, np.uint8) for key, view in network.views.items()}
        for _ in range(2)
    ]
    for profile in ("compat", "native-attention"):
        graph = network.graph(profile)
        if profile == "compat":
            check_plan(graph.SerializeToString(), network, "fp32", name)
        low = to_low_precision(graph, frames).model
        check_plan(low.SerializeToString(), network, "fp16", name, profile)


def check_plan(
    graph: bytes, network: Original, precision: str, name: str, profile: str = "compat"
) -> None:
    toolkit = load_toolkit("tensorrt_rtx")
    every = sorted(toolkit.capabilities().values())
    assert every == [75, 80, 86, 89, 120, 121]
    numbers = tuple(number for number in every if precision != "fp32" or number != TURING)
    engine = build_graph(
        graph, name=name, precision=precision, profile=profile, options=Options(cache=False),
        target=Target("all", toolkit, numbers),
    )  # fmt: skip
    assert engine.info.recipe.capabilities == numbers
    shapes = {x.name: (x.type, x.shape) for x in engine.inputs}
    assert shapes == {key: ("uint8", view.shape) for key, view in network.views.items()}
    assert [x.name for x in engine.outputs] == list(network.outputs)
    assert len(engine.plan) > len(graph) / 2
    assert engine.fusion.source
    unfused = UNFUSED.get(name, 0) if precision == "fp16" else len(engine.fusion.blocks)
    assert len(engine.fusion.unfused) == unfused
