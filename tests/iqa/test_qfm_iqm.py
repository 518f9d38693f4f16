from __future__ import annotations

import pytest
import torch

from iqa.models.glint_edge import GlintEdge
from iqa.models.glintiqa import GlintIQA
from iqa.models.qfm_iqm import QfmIqm, build
from iqa.qfm.adapters import GlintEdgeTokens, GlintIQATokens
from iqa.qfm.key import FrozenKey
from iqa.qfm.noise import perturb, semantic_noise


@pytest.fixture(scope="module")
def model() -> QfmIqm:
    torch.manual_seed(0)
    return build(depth=2)


def crops(count: int = 1, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts_of_the_base_network() -> None:
    full = build()
    assert parameters(full.vit) == 21_674_496  # the reference says 21.67 M
    assert parameters(full.panel) == 2_366_592 + 6 * 384 + 384  # 2.37 M and about 2.7 k
    assert parameters(full) == 24_043_776


@torch.inference_mode()
def test_score_is_the_mean_of_six_opinions(model: QfmIqm) -> None:
    opinions = model.opinions(crops(2))
    assert opinions.shape == (2, 6)
    torch.testing.assert_close(model(crops(2)), opinions.mean(1))
    tokens = model.tokens(crops(2))
    assert tokens.patches.shape == (2, 196, 384)
    assert tokens.context is not None
    assert tokens.context.shape == (2, 384)
    assert model.head(tokens).hidden.shape == (2, 6, 384)


@torch.inference_mode()
def test_decoder_layer_equals_torchs() -> None:
    """An independent implementation of the same pre-norm layer, fed with our tensors."""
    torch.manual_seed(0)
    panel = build(depth=1).panel
    layer = torch.nn.TransformerDecoderLayer(
        384, 6, 1536, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    for theirs, ours in (
        (layer.self_attn, panel.attend_self),
        (layer.multihead_attn, panel.attend_patches),
    ):
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.proj.state_dict())
    for theirs, ours in ((layer.linear1, panel.mlp.fc1), (layer.linear2, panel.mlp.fc2)):
        theirs.load_state_dict(ours.state_dict())
    patches, context = torch.randn(2, 196, 384), torch.randn(2, 384)
    expected = layer(panel.queries + context[:, None], patches)
    torch.testing.assert_close(panel(patches, context), expected, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_noise_reaches_the_score_of_every_network(model: QfmIqm) -> None:
    """A cut right before a mean over tokens would leave the noise without any effect."""
    torch.manual_seed(0)
    edge = GlintEdge().eval()
    views = torch.randint(0, 256, (2, 2, 224, 224, 3), dtype=torch.uint8)
    trunk = (*edge.shallow(views[0]), edge.shallow(views[1])[1])
    for network, inputs in (
        (model, crops(2)),
        (GlintEdgeTokens(edge), trunk),
        (GlintIQATokens(GlintIQA().eval()), crops(2)),
    ):
        tokens = network.tokens(inputs)
        generator = torch.Generator().manual_seed(0)
        noise = semantic_noise(tokens.patches, tokens.patches.flip(0), generator)
        clean = network.head(tokens).score
        none, some = (
            network.head(tokens._replace(patches=perturb(tokens.patches, noise, strength))).score
            for strength in (torch.zeros(2), torch.full((2,), 0.5))
        )
        assert torch.equal(none, clean)
        assert bool(((some - clean).abs() > 1e-5).all())


@torch.inference_mode()
def test_cut_networks_score_as_whole_ones() -> None:
    torch.manual_seed(0)
    glintiqa, edge = GlintIQA().eval(), GlintEdge().eval()
    cut = GlintIQATokens(glintiqa)
    torch.testing.assert_close(cut.head(cut.tokens(crops(2))).score, glintiqa(crops(2)))
    views = torch.randint(0, 256, (2, 2, 224, 224, 3), dtype=torch.uint8)
    cut = GlintEdgeTokens(edge)
    trunk = (*edge.shallow(views[0]), edge.shallow(views[1])[1])
    opinion = cut.head(cut.tokens(trunk))
    torch.testing.assert_close(100 * opinion.score, edge(*views)[0], rtol=0, atol=1e-3)
    assert opinion.hidden.shape == (2, 192)


def test_frozen_key_does_not_follow_the_student() -> None:
    student = build(depth=1)
    key = FrozenKey(student.vit)
    before = key(crops(2))
    torch.testing.assert_close(before.norm(dim=-1), torch.ones(2))
    with torch.no_grad():
        for value in student.parameters():
            value.add_(1)
    assert torch.equal(key(crops(2)), before)
    assert not before.requires_grad


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("opset", "attentions"), [(20, 0), (23, 4)])
def test_export_holds_the_student_alone(opset: int, attentions: int) -> None:
    torch.manual_seed(0)
    model = build(depth=2)
    with torch.no_grad():
        for value in model.parameters():  # equal tensors, such as zero biases, would be merged
            value.add_(torch.randn_like(value) * 0.01)
    program = torch.onnx.export(model, (crops(),), dynamo=True, opset_version=opset, verbose=False)
    assert program is not None
    graph = program.model_proto.graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("LayerNormalization") == 2 * 2 + 1 + 3
    assert kinds.count("Attention") == attentions
    assert not {"TopK", "Multinomial", "RandomUniform", "RandomUniformLike", "Dropout"} & set(kinds)
    assert not {"Shape", "NonZero", "If", "Loop"} & set(kinds)
    weights = sum(torch.Size(tensor.dims).numel() for tensor in graph.initializer)
    assert parameters(model) <= weights + 384 < parameters(model) * 1.01
    assert [len(graph.input), len(graph.output)] == [1, 1]
