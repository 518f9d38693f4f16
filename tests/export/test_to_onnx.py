from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from export.reference import run_onnx  # noqa: E402
from export.to_onnx import export_onnx, load_model, run_torch  # noqa: E402
from sdk.errors import UsageError  # noqa: E402
from sdk.views import View  # noqa: E402

from .small_network import OUTPUTS, VIEWS, SmallNetwork, build  # noqa: E402

PARSED = {name: View.parse(spec) for name, spec in VIEWS.items()}
HERE = __package__


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build()


@pytest.fixture(scope="module")
def exported(network: nn.Module) -> onnx.ModelProto:
    return export_onnx(network, PARSED, OUTPUTS)


@pytest.fixture(scope="module")
def exported_fp32(network: nn.Module) -> onnx.ModelProto:
    return export_onnx(network, PARSED, OUTPUTS, half_weights=False)


def inputs(count: int = 4) -> list[dict[str, NDArray[np.uint8]]]:
    random = np.random.default_rng(5)
    return [
        {
            name: random.integers(0, 60 * (1 + index), view.shape, np.uint8)
            for name, view in PARSED.items()
        }
        for index in range(count)
    ]


def run_openvino(
    graph: bytes, frames: list[dict[str, NDArray[np.uint8]]]
) -> list[dict[str, NDArray[np.float32]]]:
    ov = pytest.importorskip("openvino")
    core = ov.Core()
    model = core.compile_model(core.read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = [model(frame) for frame in frames]
    return [{name: np.array(result[name]) for name in OUTPUTS} for result in found]


RUNTIMES = {"onnxruntime": run_onnx, "openvino": run_openvino}


def test_graph_is_what_runtimes_of_today_and_yesterday_read(exported: onnx.ModelProto) -> None:
    assert exported.ir_version <= 10
    assert [(o.domain, o.version) for o in exported.opset_import] == [("", 20)]
    sides = {
        value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*exported.graph.input, *exported.graph.output)
    }
    assert sides == {
        "fragments": [1, 64, 64, 3],
        "resize": [1, 64, 64, 3],
        "score": [1],
        "mos": [1],
        "sigma": [1],
        "distortions": [1, 3],
    }
    onnx.checker.check_model(exported, full_check=True)


def test_operators_stay_whole(exported: onnx.ModelProto) -> None:
    count = Counter(node.op_type for node in exported.graph.node)
    assert count["LayerNormalization"] == 1
    assert count["BatchNormalization"] == 2  # once per view: folded, its weights would be rounded
    assert count["Softmax"] == 2
    assert count["Gemm"] <= 1


def test_inputs_are_cast_before_anything_else(exported: onnx.ModelProto) -> None:
    users = [node.op_type for node in exported.graph.node if {*node.input} & set(VIEWS)]
    assert users == ["Cast", "Cast"]


def test_nothing_of_this_machine_is_left(exported: onnx.ModelProto) -> None:
    data = exported.SerializeToString()
    for trace in (b".py", b"site-packages", str(Path.cwd()).encode(), b"stack_trace"):
        assert trace not in data


def test_equal_exports_are_equal_bytes(network: nn.Module, exported: onnx.ModelProto) -> None:
    again = export_onnx(network, PARSED, OUTPUTS)
    assert again.SerializeToString(deterministic=True) == exported.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_scores_are_those_of_torch(
    network: nn.Module, exported: onnx.ModelProto, runtime: str
) -> None:
    frames = inputs()
    found = RUNTIMES[runtime](exported.SerializeToString(), frames)
    expected = [run_torch(network, OUTPUTS, frame) for frame in frames]
    assert len({float(one["score"][0]) for one in expected}) == len(frames)
    for one, other in zip(expected, found, strict=True):
        for name in OUTPUTS:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_half_weights_change_no_bit(
    exported: onnx.ModelProto, exported_fp32: onnx.ModelProto, runtime: str
) -> None:
    half, full = exported.SerializeToString(), exported_fp32.SerializeToString()
    assert len(half) < 0.6 * len(full)
    run = RUNTIMES[runtime]
    for one, other in zip(run(half, inputs()), run(full, inputs()), strict=True):
        assert {k: v.tobytes() for k, v in one.items()} == {
            k: v.tobytes() for k, v in other.items()
        }


class TransposesFirst(SmallNetwork):
    def to_image(self, view: Tensor) -> Tensor:
        return view.permute(0, 3, 1, 2).float() / 255 - 0.5


class ForgetsAView(SmallNetwork):
    def forward(self, fragments: Tensor, resize: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        del resize
        return super().forward(fragments, fragments)


class AttendsWithoutHeads(SmallNetwork):
    def tokens(self, view: Tensor) -> Tensor:
        tokens = super().tokens(view)
        return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


class BranchesOnPixels(SmallNetwork):
    def tokens(self, view: Tensor) -> Tensor:
        tokens = super().tokens(view)
        return tokens if view.float().mean() > 100 else tokens * 2


class ScoresPerPixel(SmallNetwork):
    def forward(self, fragments: Tensor, resize: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        score, *rest = super().forward(fragments, resize)
        return (score[:, None, None].repeat(1, 7, 7), *rest)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (TransposesFirst(), r"applies Transpose to its uint8 input; TensorRT only casts it"),
        (AttendsWithoutHeads(), r"cannot be traced: AssertionError: only 4D query"),
        (BranchesOnPixels(), r"BranchesOnPixels cannot be traced: "),
        (ForgetsAView(), r"Does its forward\(\) use every view"),
        (ScoresPerPixel(), r"output score is score: float \[1, 7, 7\]; it must be float32 \[1\]"),
    ],
)
def test_networks_that_no_bundle_can_hold(network: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export_onnx(network, PARSED, OUTPUTS)


def test_views_of_another_size_are_those_exported(network: nn.Module) -> None:
    views = {"fragments": View.parse("fragments:3x32"), "resize": View.parse("resize:32x96")}
    graph = export_onnx(network, views, OUTPUTS).graph
    assert [side.dim_value for side in graph.input[1].type.tensor_type.shape.dim] == [1, 32, 96, 3]


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    state, wanted = one.state_dict(), other.state_dict()
    return all(torch.equal(state[name], wanted[name]) for name in wanted)


def test_weights_are_read_from_torch_and_safetensors(network: nn.Module, tmp_path: Path) -> None:
    half = {
        name: value.half() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    torch.save(half, tmp_path / "w.pt")
    assert same_weights(load_model(SmallNetwork(), tmp_path / "w.pt"), network)
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(half, tmp_path / "w.safetensors")
    assert same_weights(load_model(SmallNetwork(), tmp_path / "w.safetensors"), network)


def test_model_by_name(network: nn.Module) -> None:
    built = load_model(f"{HERE}.small_network:build")
    assert same_weights(built, network)
    assert not built.training


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.such.module:build", "cannot be built: No module named 'no'"),
        (f"{HERE}.small_network:gone", "has no attribute 'gone'"),
        (f"{HERE}.small_network", "cannot be built"),
        ("", "cannot be built"),
        (f"{HERE}.small_network:not_a_network", "returns a str; it must return an nn.Module"),
    ],
)
def test_names_that_lead_nowhere(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_model(name)


def weights_file(path: Path, content: Mapping[str, Tensor] | bytes) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(dict(content), path)
    return path


def test_weights_that_do_not_fit(network: nn.Module, tmp_path: Path) -> None:
    partial = {k: v for k, v in network.state_dict().items() if k != "head.bias"}
    for content, message in [(partial, "head.bias"), (b"garbage", "do not fit")]:
        with pytest.raises(UsageError, match=message):
            load_model(SmallNetwork(), weights_file(tmp_path / "w.pt", content))
    with pytest.raises(UsageError, match="No such file"):
        load_model(SmallNetwork(), tmp_path / "none.pt")


def test_graph_survives_a_file(exported: onnx.ModelProto) -> None:
    buffer = io.BytesIO()
    onnx.save(exported, buffer)
    assert onnx.load(io.BytesIO(buffer.getvalue())) == exported
