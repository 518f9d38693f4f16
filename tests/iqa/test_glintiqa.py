from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from iqa.models.cwsa import ChannelAttention, scramble
from iqa.models.glintiqa import GlintIQA, build
from sdk.errors import UsageError


@pytest.fixture(scope="module")
def model() -> GlintIQA:
    torch.manual_seed(0)
    return build()


def crops(count: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


def parameters(module: torch.nn.Module, trainable: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trainable)


def test_parameter_counts_of_the_paper(model: GlintIQA) -> None:
    attentions = [model.local.attention, *(step.attention for step in model.integrate)]
    assert [parameters(a) for a in attentions] == [116_228] * 5
    assert [parameters(step.enhance) for step in model.integrate] == [2_654_208] * 4
    assert [parameters(e) for e in model.local.embed] == [1_573_248, 786_816, 393_600]
    assert parameters(model.head) == 148_225
    assert parameters(model) == 41_201_877


def test_parameter_counts_as_published() -> None:
    published = build(as_published=True)
    assert parameters(published) == 45_136_573
    published.freeze()
    frozen = parameters(published) - parameters(published, trainable=True)
    assert frozen == 10_612_544  # the reference says 10.61 M
    dead = {"blocks.10.", "blocks.11.", "norm.", "head."}
    names = [name for name, _ in published.context.vit.named_parameters()]
    idle = [n for n in names if any(n.startswith(part) for part in dead)]
    assert sum(published.context.vit.get_parameter(n).numel() for n in idle) == 3_934_696


@torch.inference_mode()
def test_shapes_of_the_data_flow(model: GlintIQA) -> None:
    taps, feature = model.context(crops(2)), model.local(crops(2))
    assert [tuple(t.shape) for t in taps] == [(2, 384, 14, 14)] * 4
    assert tuple(feature.shape) == (2, 384, 14, 14)
    assert tuple(model.features(feature, taps).shape) == (2, 384, 14, 14)
    assert tuple(model(crops(2)).shape) == (2,)


@torch.inference_mode()
def test_taps_are_blocks_six_to_nine_without_class_token(model: GlintIQA) -> None:
    outputs = model.context.vit.outputs(crops(), 10)
    for tap, block in zip(model.context(crops()), (6, 7, 8, 9), strict=True):
        torch.testing.assert_close(tap.flatten(2).transpose(1, 2), outputs[block][:, 1:])


@torch.inference_mode()
def test_joined_channels_are_global_then_running(model: GlintIQA) -> None:
    """The published order; a checkpoint's 3x3 kernels depend on it."""
    step, tap, feature = model.integrate[0], *torch.randn(2, 1, 384, 14, 14)
    by_hand = step.attention(torch.cat([tap.flatten(2), feature.flatten(2)], dim=1))
    by_hand = step.enhance(by_hand.reshape(1, 768, 14, 14))
    torch.testing.assert_close(step(tap, feature), by_hand)


@torch.inference_mode()
def test_what_is_built_as_published_does_not_touch_the_score() -> None:
    published = build(as_published=True)
    before = published(crops())
    for part in (*list(published.context.vit.blocks)[10:], published.context.vit.norm):
        for value in part.parameters():
            value.fill_(float("nan"))
    torch.testing.assert_close(published(crops()), before, rtol=0, atol=0)


def test_gradients_reach_what_is_trained_and_nothing_frozen() -> None:
    torch.manual_seed(0)
    model = GlintIQA(temperature=True).freeze().train()
    model(crops(2)).sum().backward()
    for name, value in model.named_parameters():
        assert (value.grad is not None) == value.requires_grad, name
    assert not model.context.vit.blocks[4].attn.qkv.weight.requires_grad
    assert model.context.vit.blocks[5].attn.qkv.weight.requires_grad
    assert model.context.vit.cls_token.requires_grad
    assert not model.local.trunk.layer2[0].bn1.weight.requires_grad
    assert model.local.trunk.layer3[0].conv1.weight.requires_grad


def test_running_statistics_of_frozen_norms_move_in_training() -> None:
    model = GlintIQA().freeze().train()
    before = model.local.trunk.bn1.running_mean.clone()
    with torch.no_grad():
        model.local.trunk(crops(2))
    assert not torch.equal(model.local.trunk.bn1.running_mean, before)


def test_macs_of_one_crop(model: GlintIQA) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    def gmac(network: GlintIQA) -> float:
        # the counter does not know the CPU's fused attention
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            network(crops())
        return counter.get_total_flops() / 2e9

    with torch.inference_mode():
        assert gmac(model) == pytest.approx(11.76, abs=0.01)
        assert gmac(build(linear_attention=True)) == pytest.approx(10.64, abs=0.01)


@torch.inference_mode()
def test_linearised_network_gives_the_same_score() -> None:
    torch.manual_seed(0)
    model = build()
    exact = model(crops(2))
    torch.testing.assert_close(model.linearise()(crops(2)), exact, rtol=0, atol=1e-4)
    assert not any(m.exact for m in model.modules() if isinstance(m, ChannelAttention))


def attention_parts(
    channels: int, legacy: bool
) -> tuple[ChannelAttention, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    attention = ChannelAttention(196, exact=True, legacy_perm=legacy).double().eval()
    x = torch.randn(2, channels, 196, dtype=torch.float64)
    parts = attention.project(x)
    exact, linear = attention.attend_exact(*parts), attention.attend(*parts)
    if legacy:
        exact, linear = scramble(exact), scramble(linear)
    return attention, exact, linear, x


def relative(value: torch.Tensor, reference: torch.Tensor) -> float:
    return float((value - reference).norm() / reference.norm())


@torch.inference_mode()
@pytest.mark.parametrize("channels", [384, 576, 768, 1152])
@pytest.mark.parametrize(("legacy", "limit"), [(False, 2e-5), (True, 5e-4)])
def test_linearised_attention_in_float64(channels: int, legacy: bool, limit: float) -> None:
    attention, exact, linear, _ = attention_parts(channels, legacy)
    assert relative(linear, exact) < 2e-5
    normed = attention.norm(exact)
    assert relative(attention.norm(linear), normed) < limit


@torch.inference_mode()
@pytest.mark.parametrize("channels", [384, 576, 768, 1152])
def test_float32_attention_against_float64(channels: int) -> None:
    attention, exact, _, x = attention_parts(channels, legacy=False)
    single = attention.float()
    assert relative(single.attend_exact(*single.project(x.float())).double(), exact) < 1e-6


@torch.inference_mode()
def test_exact_attention_equals_the_written_formula() -> None:
    attention, exact, _, x = attention_parts(768, legacy=False)
    rows = []
    for kind in range(3):  # three projections, as the published module has them
        part = slice(kind * 196, kind * 196 + 196)
        rows.append(x @ attention.qkv.weight[part].T + attention.qkv.bias[part])
    query, key = (r / r.norm(dim=-1, keepdim=True) for r in rows[:2])
    logits = query @ key.mT / 14
    assert float(logits.abs().max()) <= 1 / 14
    weights = torch.softmax(logits, dim=-1)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 768, dtype=torch.float64))
    torch.testing.assert_close(exact, weights @ rows[2])
    torch.testing.assert_close(attention(x), attention.norm(exact) + x)


@pytest.mark.parametrize(("channels", "inside"), [(768, 576), (1152, 960)])
def test_legacy_permutation_is_the_published_index(channels: int, inside: int) -> None:
    index = np.arange(channels * 196).reshape(channels, 196)  # channel * 196 + position
    out = scramble(torch.from_numpy(index)[None])[0].numpy()
    flat = np.arange(channels * 196)
    assert np.array_equal(out.ravel(), index[flat % channels, flat // channels])
    positions = out % 196
    assert int((positions == positions[:, :1]).all(axis=1).sum()) == inside


@torch.inference_mode()
def test_legacy_permutation_changes_the_score_but_no_tensor() -> None:
    torch.manual_seed(0)
    plain, legacy = build(), build(legacy_perm=True)
    legacy.load_state_dict(plain.state_dict())
    assert not torch.allclose(plain(crops()), legacy(crops()))


@torch.inference_mode()
def test_temperature_starts_as_the_published_attention_and_sharpens() -> None:
    torch.manual_seed(0)
    plain = ChannelAttention(196, exact=True).eval()
    warm = ChannelAttention(196, exact=True, temperature=True).eval()
    warm.load_state_dict(plain.state_dict() | {"temperature": torch.ones(())})
    x = torch.randn(1, 768, 196)
    assert torch.equal(plain(x), warm(x))
    warm.temperature.fill_(50.0)
    assert relative(warm(x), plain(x)) > 1e-3


def test_high_temperature_is_not_linearised() -> None:
    model = build(temperature=True)
    with torch.no_grad():
        model.integrate[2].attention.temperature.fill_(3.0)
    with pytest.raises(UsageError, match=r"logits reach 0\.214.*at most 2\.00"):
        model.linearise()
    assert all(m.exact for m in model.modules() if isinstance(m, ChannelAttention))


def test_linear_form_refuses_to_load_a_high_temperature() -> None:
    linear = ChannelAttention(196, temperature=True)
    assert not linear.temperature.requires_grad
    with pytest.raises(UsageError, match="cannot be linearised"):
        linear.load_state_dict(linear.state_dict() | {"temperature": torch.tensor(-5.0)})


def traced(model: GlintIQA, opset: int) -> tuple[list[str], bytes]:
    import onnx

    program = torch.onnx.export(
        model, (crops(),), dynamo=True, opset_version=opset, verbose=False, optimize=True
    )
    assert program is not None
    stream = io.BytesIO()
    onnx.save(program.model_proto, stream)
    return [node.op_type for node in program.model_proto.graph.node], stream.getvalue()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("opset", [20, 23])
def test_export_keeps_norms_whole_and_shapes_static(opset: int, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    model = build(linear_attention=True)
    kinds, graph = traced(model, opset)
    assert kinds.count("LayerNormalization") == 2 * 10 + 5
    assert kinds.count("Attention") == (10 if opset >= 23 else 0)
    assert not {"Shape", "NonZero", "If", "Loop", "Dropout"} & set(kinds)
    # patches, 4 of a block's attention (and its keys once more where that is decomposed), 4 taps,
    # 2 of a linearised channel attention: none between integration steps
    assert kinds.count("Transpose") <= 1 + 10 * (4 + (opset < 23)) + 4 + 5 * 2
    (tmp_path / "glintiqa.onnx").write_bytes(graph)
    session = ort.InferenceSession(str(tmp_path / "glintiqa.onnx"))
    (score,) = session.run(None, {session.get_inputs()[0].name: crops().numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(score, model(crops()).numpy(), rtol=0, atol=1e-4)
