from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from export.convention import ImageConvention  # noqa: E402
from export.half_weights import store_half  # noqa: E402
from export.reference import run_onnx  # noqa: E402
from export.to_onnx import ImageNetwork, ViewNetwork, load_model  # noqa: E402
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
    return ViewNetwork(network, PARSED, OUTPUTS).graph()


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
    again = ViewNetwork(network, PARSED, OUTPUTS).graph()
    assert again.SerializeToString(deterministic=True) == exported.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_scores_are_those_of_torch(
    network: nn.Module, exported: onnx.ModelProto, runtime: str
) -> None:
    frames = inputs()
    found = RUNTIMES[runtime](exported.SerializeToString(), frames)
    expected = [ViewNetwork(network, PARSED, OUTPUTS).run(frame) for frame in frames]
    assert len({float(one["score"][0]) for one in expected}) == len(frames)
    for one, other in zip(expected, found, strict=True):
        for name in OUTPUTS:
            np.testing.assert_allclose(other[name], one[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("runtime", list(RUNTIMES))
def test_half_weights_change_no_bit(exported: onnx.ModelProto, runtime: str) -> None:
    half, full = store_half(exported).SerializeToString(), exported.SerializeToString()
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


class AnswersByName(SmallNetwork):
    def forward(self, fragments: Tensor, resize: Tensor) -> dict[str, Any]:  # type: ignore[override]
        score, mos, sigma, causes = super().forward(fragments, resize)
        return {"distortions": causes, "sigma": sigma, "mos": mos, "score": score, "more": [score]}


class SaysLess(SmallNetwork):
    def forward(self, fragments: Tensor, resize: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return super().forward(fragments, resize)[:2]


class ScoresPerPixel(SmallNetwork):
    def forward(self, fragments: Tensor, resize: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        score, *rest = super().forward(fragments, resize)
        return (score[:, None, None].repeat(1, 7, 7), *rest)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (TransposesFirst(), r"applies Transpose to its uint8 input; TensorRT only casts it"),
        (AttendsWithoutHeads(), r"line \d+: `mixed = nn.functional.*`: AssertionError: only 4D"),
        (BranchesOnPixels(), r"decides by a value computed .*: `return tokens if"),
        (SaysLess(), r"SaysLess returns 2 tensors \(0, 1\); its description names 4"),
        (ForgetsAView(), r"Does its forward\(\) use every view"),
        (ScoresPerPixel(), r"output score is score: float \[1, 7, 7\]; it must be float32 \[1\]"),
    ],
)
def test_networks_that_no_bundle_can_hold(network: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ViewNetwork(network, PARSED, OUTPUTS).graph()


def test_views_of_another_size_are_those_exported(network: nn.Module) -> None:
    views = {"fragments": View.parse("fragments:3x32"), "resize": View.parse("resize:32x96")}
    graph = ViewNetwork(network, views, OUTPUTS).graph().graph
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
        (f"{HERE}.small_network:gone", "has no function 'gone'"),
        (f"{HERE}.small_network", "cannot be built: it names no function"),
        ("", "cannot be built: it names no function"),
        (f"{HERE}.small_network:SmallNetwork.tokens", "has no function"),
        (f"{HERE}.small_network:fails", "cannot be built: KeyError: 'nobody has this key'"),
        (f"{HERE}.small_network:not_a_network", "returns a str; it must return an nn.Module"),
    ],
)
def test_names_that_lead_nowhere(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_model(name)


def shifted(network: nn.Module) -> dict[str, Tensor]:
    """Weights other than those of a new SmallNetwork, as a training script has them."""
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        lambda state: {"model": state},
        lambda state: {"model_state_dict": state, "loss": 0.5},
        lambda state: {"params": state},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"model.module.{k}": v for k, v in state.items()}},
        lambda state: {f"_orig_mod.{k}": v for k, v in state.items()},
        lambda state: {**state, "step": 7},
        lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    ],
)
def test_weights_in_the_shapes_that_scripts_save(
    network: nn.Module, tmp_path: Path, wrap: Callable[[Any], Any]
) -> None:
    torch.save(wrap(shifted(network)), tmp_path / "w.pt")
    assert same_weights(load_model(SmallNetwork(), tmp_path / "w.pt"), network)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight


def test_one_of_two_names_of_a_shared_tensor_is_enough(tmp_path: Path) -> None:
    saved, loaded = Tied(), Tied()
    state = {k: v for k, v in saved.state_dict().items() if k != "second.weight"}
    torch.save(state, tmp_path / "w.pt")
    load_model(loaded, tmp_path / "w.pt")
    assert torch.equal(loaded.second.weight, saved.first.weight)
    torch.save({k: v for k, v in state.items() if k != "second.bias"}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=r"1 missing: second\.bias"):
        load_model(loaded, tmp_path / "w.pt")


def unfitting() -> Iterator[tuple[str, Any, str]]:
    state = dict(SmallNetwork().state_dict())
    renamed = {f"a.{name}" if "norm" in name else name: value for name, value in state.items()}
    yield (
        "renamed",
        renamed,
        (
            r"Of its 12 tensors and the file's 12: 6 missing: norm\.weight, norm\.bias, "
            r"norm\.running_mean and 3 more; 6 unexpected: a\.norm\.weight"
        ),
    )
    yield "short", {k: v for k, v in state.items() if k != "head.bias"}, "1 missing: head.bias"
    wider = SmallNetwork(32).state_dict()
    yield "wide", wider, r"of another shape: stem.weight \[32, 3, 8, 8\] instead of \[64, 3, 8, 8\]"
    yield "list", [1, 2], "hold a list, not tensors by name"
    yield "settings", {"epoch": 3, "loss": 0.5}, "hold a dictionary of epoch, loss, not tensors"
    yield "nothing", {}, "hold a dictionary of nothing"
    yield "module", SmallNetwork(), r"holds Python objects \(.*SmallNetwork\), not only tensors"


@pytest.mark.parametrize(("content", "message"), [(c, m) for _, c, m in unfitting()])
def test_weights_that_do_not_fit(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UsageError, match=message):
        load_model(SmallNetwork(), tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pt", b"garbage", "neither safetensors nor torch's"),
        ("w.pt", b"", "neither safetensors nor torch's"),
        ("w.safetensors", b"garbage", "w.safetensors cannot be read: .*header"),
        ("w.pt", None, "w.pt cannot be read: No such file"),
        ("w.safetensors", None, "w.safetensors cannot be read: No such file"),
    ],
)
def test_files_that_hold_no_weights(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    pytest.importorskip("safetensors")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load_model(SmallNetwork(), tmp_path / name)


def test_outputs_by_name_come_in_the_order_of_the_description(exported: onnx.ModelProto) -> None:
    named = AnswersByName()
    named.load_state_dict(build().state_dict())
    found = ViewNetwork(named, PARSED, OUTPUTS)
    assert [value.name for value in found.graph().graph.output] == list(OUTPUTS)
    [frame] = inputs(1)
    [expected] = run_onnx(exported.SerializeToString(), [frame])
    for name, value in found.run(frame).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-4)


def test_native_attention_is_one_node(network: nn.Module) -> None:
    graph = ViewNetwork(network, PARSED, OUTPUTS).graph("native-attention")
    count = Counter(node.op_type for node in graph.graph.node)
    assert (count["Attention"], count["Softmax"]) == (1, 1)  # the latter makes probabilities
    assert [(o.domain, o.version) for o in graph.opset_import] == [("", 23)]
    for frame in inputs():
        expected = ViewNetwork(network, PARSED, OUTPUTS).run(frame)
        for found in (run(graph.SerializeToString(), [frame])[0] for run in RUNTIMES.values()):
            np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-4, atol=1e-4)


def test_nodes_are_named_after_their_modules(exported: onnx.ModelProto) -> None:
    names = [node.name for node in exported.graph.node]
    assert len(set(names)) == len(names)
    assert {"stem/Conv", "layer_norm/LayerNormalization", "qkv/MatMul"} <= set(names)


@pytest.mark.parametrize("profile", ["compat", "native-attention"])
def test_any_number_of_frames_on_request(network: nn.Module, profile: str) -> None:
    graph = ViewNetwork(network, PARSED, OUTPUTS).graph(profile, dynamic_batch=True)
    values = (*graph.graph.input, *graph.graph.output)
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in values} == {"batch"}
    frames = inputs(3)
    together = {name: np.concatenate([frame[name] for frame in frames]) for name in PARSED}
    for run in RUNTIMES.values():
        [found] = run(graph.SerializeToString(), [together])
        expected = [ViewNetwork(network, PARSED, OUTPUTS).run(frame) for frame in frames]
        for name in OUTPUTS:
            wanted = np.concatenate([one[name] for one in expected])
            np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-4)


class Plain(nn.Module):
    """An ordinary network: [N, 3, 16, 16] to [N, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 1)

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x)).mean((2, 3))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x))


class Branches(Plain):
    def forward(self, x: Tensor) -> Any:
        found = self.features(x)
        if found.mean() > 0:
            found = found * 2
        return self.head(found)


class Selects(Plain):
    def forward(self, x: Tensor) -> Any:
        found = self.features(x)
        return found[found > 0].sum().reshape(1)


class Decomposes(Plain):
    def forward(self, x: Tensor) -> Any:
        return torch.linalg.svd(self.features(x).reshape(1, 2, 4))[1].sum(1)


class LeavesTorch(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.head(torch.from_numpy(self.features(x).detach().numpy()))


class DrawsNumbers(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x) + torch.randn(8))


class WantsOtherSizes(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.head(x.flatten(1))


class Classifies(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.features(x)


class SaysNothing(Plain):
    def forward(self, x: Tensor) -> Any:
        del x


class FixesItsBatch(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x)).reshape(2, 1)


SEEN = ("image", View.parse("resize:16x16"))


@pytest.mark.parametrize(
    ("network", "message", "hint"),
    [
        (
            Branches(),
            r"decides by a value .*test_to_onnx.py, line \d+: `if found.mean",
            "torch.where",
        ),
        (Selects(), r"shape of what NonZero returns in .*line \d+: `return found\[", "mask"),
        (Decomposes(), r"no operator for aten._linalg_svd in .*: `return torch.linalg", "other op"),
        (LeavesTorch(), r"cannot be traced in .*: `return self.head\(torch.from_numpy", "torch op"),
        (DrawsNumbers(), r"random numbers \(RandomNormalLike\) in .*: `return self.h", "training"),
        (
            WantsOtherSizes(),
            r"cannot take float32 \[1, 3, 16, 16\] \(.*: `return self.he",
            "--view",
        ),
        (Classifies(), r"For 1 picture the model returns output \[1, 8\]; a score is one", "Wrap"),
        (SaysNothing(), "SaysNothing returns no tensor", "must return the score"),
    ],
)
def test_reasons_that_authors_can_act_on(network: nn.Module, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        ImageNetwork(network, SEEN, ImageConvention()).graph()
    assert hint in caught.value.hint


def test_a_network_that_fixes_its_batch_says_so() -> None:
    with pytest.raises(UsageError, match=r"FixesItsBatch cannot be traced.*Constraint") as caught:
        ImageNetwork(FixesItsBatch(), SEEN, ImageConvention()).graph(dynamic_batch=True)
    assert "leave --dynamic-batch away" in caught.value.hint


def test_torch_prints_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        ImageNetwork(Branches(), SEEN, ImageConvention()).graph()
    assert capfd.readouterr() == ("", "")


def test_graph_survives_a_file(exported: onnx.ModelProto) -> None:
    buffer = io.BytesIO()
    onnx.save(exported, buffer)
    assert onnx.load(io.BytesIO(buffer.getvalue())) == exported
