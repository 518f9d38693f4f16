from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from iqa.models.checkpoints import load_resnet, load_vit, read_checkpoint
from iqa.models.glintiqa import GlintIQA, build
from iqa.models.resnet import ResNet
from iqa.models.vit import VisionTransformer
from sdk.errors import UsageError

State = dict[str, Tensor]
BLOCK = {  # timm's vision_transformer.Block at width 384
    "norm1.weight": (384,), "norm1.bias": (384,),
    "attn.qkv.weight": (1152, 384), "attn.qkv.bias": (1152,),
    "attn.proj.weight": (384, 384), "attn.proj.bias": (384,),
    "norm2.weight": (384,), "norm2.bias": (384,),
    "mlp.fc1.weight": (1536, 384), "mlp.fc1.bias": (1536,),
    "mlp.fc2.weight": (384, 1536), "mlp.fc2.bias": (384,),
}  # fmt: skip
VIT_ENDS = {
    "cls_token": (1, 1, 384), "pos_embed": (1, 197, 384),
    "patch_embed.proj.weight": (384, 3, 16, 16), "patch_embed.proj.bias": (384,),
    "norm.weight": (384,), "norm.bias": (384,),
    "head.weight": (1000, 384), "head.bias": (1000,),
}  # fmt: skip


def random(shapes: dict[str, tuple[int, ...]]) -> State:
    torch.manual_seed(3)
    state = {name: torch.randn(shape) * 0.02 for name, shape in shapes.items()}
    return state | {n: v.abs() + 0.5 for n, v in state.items() if n.endswith("running_var")}


def timm_vit(**changed: tuple[int, ...]) -> State:
    """``timm.create_model("vit_small_patch16_224").state_dict()``, random values."""
    blocks = {f"blocks.{i}.{n}": shape for i in range(12) for n, shape in BLOCK.items()}
    return random(VIT_ENDS | blocks | changed)


def norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (width,)


def resnet_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of ``torchvision.models.resnet50``; timm's are the same."""
    yield "conv1.weight", (64, 3, 7, 7)
    yield from norm("bn1", 64)
    inputs = 64
    for stage, (depth, width) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), 1):
        for block in range(depth):
            at = f"layer{stage}.{block}"
            sizes = ((width, inputs, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1))
            for number, size in enumerate(sizes, 1):
                yield f"{at}.conv{number}.weight", size
                yield from norm(f"{at}.bn{number}", size[0])
            if block == 0:
                yield f"{at}.downsample.0.weight", (4 * width, inputs, 1, 1)
                yield from norm(f"{at}.downsample.1", 4 * width)
            inputs = 4 * width
    yield "fc.weight", (1000, 2048)
    yield "fc.bias", (1000,)


def torchvision_resnet() -> State:
    return random(dict(resnet_shapes()))


def test_the_lists_hold_every_tensor_of_the_formats() -> None:
    assert (len(timm_vit()), len(torchvision_resnet())) == (152, 267)
    learned = [v for n, v in torchvision_resnet().items() if "running" not in n]
    assert sum(v.numel() for v in learned) == 25_557_032
    assert sum(v.numel() for v in timm_vit().values()) == 22_050_664


def test_glintiqa_takes_both_and_every_tensor_is_accounted_for() -> None:
    model, vit, resnet = build(), timm_vit(), torchvision_resnet()
    for state, loaded in (
        (vit, load_vit(model.context.vit, vit)),
        (resnet, load_resnet(model.local.trunk, resnet)),
    ):
        assert sorted(loaded.used + loaded.left_out) == sorted(state)
        assert not set(loaded.used) & set(loaded.left_out)
    assert torch.equal(model.context.vit.blocks[9].mlp.fc2.weight, vit["blocks.9.mlp.fc2.weight"])
    assert torch.equal(
        model.local.trunk.layer3[5].bn3.running_var, resnet["layer3.5.bn3.running_var"]
    )


def test_what_is_left_out_is_what_glintiqa_does_not_have() -> None:
    model, vit, resnet = GlintIQA(), timm_vit(), torchvision_resnet()
    idle = {n for n in vit if n.startswith(("blocks.10.", "blocks.11.", "norm.", "head."))}
    assert set(load_vit(model.context.vit, vit).left_out) == idle
    idle = {n for n in resnet if n.startswith(("layer4.", "fc."))}
    assert set(load_resnet(model.local.trunk, resnet).left_out) == idle


def test_as_published_leaves_nothing_of_the_vit_out() -> None:
    model, state = GlintIQA(as_published=True), timm_vit()
    assert load_vit(model.context.vit, state).left_out == ()
    assert torch.equal(model.context.vit.head.weight, state["head.weight"])


@pytest.mark.parametrize("names", [("ls1.gamma", "ls2.gamma"), ("gamma_1", "gamma_2")])
def test_deit_three_by_either_naming(names: tuple[str, str]) -> None:
    scales = {f"blocks.{i}.{name}": (384,) for i in range(12) for name in names}
    state = timm_vit(pos_embed=(1, 196, 384), **scales)
    vit = VisionTransformer(layer_scale=1e-4, class_position=False)
    loaded = load_vit(vit, state)
    assert sorted(loaded.used + loaded.left_out) == sorted(state)
    assert loaded.left_out == ("head.weight", "head.bias")
    assert torch.equal(vit.blocks[3].ls2.gamma, state[f"blocks.3.{names[1]}"])


def test_missing_tensors_are_named_and_nothing_is_loaded() -> None:
    vit, state = VisionTransformer(10), timm_vit()
    before = {n: v.clone() for n, v in vit.state_dict().items()}
    del state["blocks.7.attn.qkv.bias"]
    with pytest.raises(UsageError, match=r"missing: blocks\.7\.attn\.qkv\.bias"):
        load_vit(vit, state)
    assert all(torch.equal(v, before[n]) for n, v in vit.state_dict().items())


def test_unknown_tensors_are_named() -> None:
    with pytest.raises(UsageError, match=r"unknown: dist_token, head_dist\.weight"):
        load_vit(VisionTransformer(), timm_vit(dist_token=(1, 1, 384)) | {"head_dist.weight": Z})
    with pytest.raises(UsageError, match=r"unknown: layer1\.0\.se\.fc1\.weight"):
        load_resnet(ResNet(), torchvision_resnet() | {"layer1.0.se.fc1.weight": Z})


Z = torch.zeros(1)


def test_a_wrong_shape_is_named_with_both() -> None:
    state = timm_vit(pos_embed=(1, 577, 384))  # trained at 384 pixels
    with pytest.raises(UsageError, match=r"pos_embed \[1, 577, 384\] instead of \[1, 197, 384\]"):
        load_vit(VisionTransformer(), state)


def test_another_network_is_refused_with_a_short_list() -> None:
    with pytest.raises(
        UsageError, match=r"missing: .* and \d+ more; unknown: conv1\.weight"
    ) as hit:
        load_vit(VisionTransformer(), torchvision_resnet())
    assert "vit_small_patch16_224" in hit.value.hint
    assert len(hit.value.message) < 700


def test_batch_counters_may_be_there_or_not() -> None:
    state = torchvision_resnet()
    counters = {n.replace("running_mean", "num_batches_tracked"): torch.tensor(7)
                for n in state if n.endswith("running_mean")}  # fmt: skip
    resnet = ResNet()
    loaded = load_resnet(resnet, state | counters)
    assert sorted(loaded.used + loaded.left_out) == sorted(state | counters)
    assert int(resnet.bn1.num_batches_tracked) == 7


def test_half_precision_becomes_float32() -> None:
    state = {name: value.half() for name, value in torchvision_resnet().items()}
    resnet = ResNet()
    load_resnet(resnet, state)
    assert resnet.conv1.weight.dtype == torch.float32
    assert torch.equal(resnet.conv1.weight, state["conv1.weight"].float())


def test_files_are_read_bare_or_wrapped(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = {"a.weight": torch.arange(3.0)}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "bare.pth")
    torch.save({"model": state, "epoch": 3}, tmp_path / "deit.pth")
    torch.save({"state_dict": {"module.a.weight": state["a.weight"]}}, tmp_path / "ddp.pth.tar")
    for name in ("a.safetensors", "bare.pth", "deit.pth", "ddp.pth.tar"):
        (found,) = read_checkpoint(tmp_path / name).items()
        assert found[0] == "a.weight"
        assert torch.equal(found[1], state["a.weight"])


class Mischief:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("mischief",)


def test_bad_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.safetensors").write_bytes(b"not one")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save({"weights": Mischief()}, tmp_path / "mischief.pth")
    for name in ("missing.pth", "broken.safetensors", "empty.pth", "mischief.pth"):
        with pytest.raises(UsageError, match=name):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "mischief").exists()
    torch.save({"lr": 0.1, "w": torch.ones(1)}, tmp_path / "odd.pth")
    with pytest.raises(UsageError, match=r"other things than tensors: lr"):
        read_checkpoint(tmp_path / "odd.pth")


VIT_FROM_TRANSFORMERS = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
}
BLOCK_FROM_TRANSFORMERS = {
    "layernorm_before": "norm1", "layernorm_after": "norm2", "attention.o_proj": "attn.proj",
    "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
}  # fmt: skip


def vit_names(theirs: State, depth: int) -> State:
    """Tensors of ``transformers.ViTModel`` by timm's names."""
    state = {}
    for old, new in VIT_FROM_TRANSFORMERS.items():
        for end in ("", ".weight", ".bias"):
            if old + end in theirs:
                state[new + end] = theirs[old + end]
    for i in range(depth):
        for end in ("weight", "bias"):
            at = f"layers.{i}"
            for old, new in BLOCK_FROM_TRANSFORMERS.items():
                state[f"blocks.{i}.{new}.{end}"] = theirs[f"{at}.{old}.{end}"]
            parts = [theirs[f"{at}.attention.{part}_proj.{end}"] for part in "qkv"]
            state[f"blocks.{i}.attn.qkv.{end}"] = torch.cat(parts)
    return state


def scatter(module: torch.nn.Module) -> None:
    """Random values everywhere, norms and their statistics too, so that every tensor matters."""
    torch.manual_seed(5)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn_like(value) * 0.05
            whole = name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight"))
            value.copy_(1 + noise.abs() if whole else value + noise * 0.3)


@torch.inference_mode()
def test_vit_equals_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    depth = 4
    config = transformers.ViTConfig(
        hidden_size=384, num_hidden_layers=depth, num_attention_heads=6, intermediate_size=1536,
        layer_norm_eps=1e-6,
    )  # fmt: skip
    theirs = transformers.ViTModel(config, add_pooling_layer=False).eval()
    scatter(theirs)
    state = vit_names(theirs.state_dict(), depth)
    assert sum(v.numel() for v in state.values()) == sum(p.numel() for p in theirs.parameters())
    ours = VisionTransformer(depth).eval()
    load_vit(ours, state)
    image = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    expected = theirs(image, output_hidden_states=True)
    # hidden_states: the embeddings, then each block; the last may have the norm in it
    theirs_by_block = expected.hidden_states[1:depth]
    for block, reference in zip(ours.outputs(image, depth - 1), theirs_by_block, strict=True):
        assert float(reference.std()) > 1e-2
        torch.testing.assert_close(block, reference, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours(image), expected.last_hidden_state, rtol=0, atol=1e-4)


RESNET_BLOCK = {"shortcut": ("downsample.0", "downsample.1")} | {
    f"layer.{i}": (f"conv{i + 1}", f"bn{i + 1}") for i in range(3)
}


def resnet_names(theirs: State) -> State:
    """Tensors of ``transformers.ResNetModel`` by torchvision's names."""
    state = {}
    for name, value in theirs.items():
        where, kind, end = name.rsplit(".", 2)
        if where == "embedder.embedder":
            new = "conv1" if kind == "convolution" else "bn1"
        else:
            _, _, stage, _, block, part = where.split(".", 5)
            new = RESNET_BLOCK[part][kind == "normalization"]
            new = f"layer{int(stage) + 1}.{block}.{new}"
        state[f"{new}.{end}"] = value
    return state


@torch.inference_mode()
def test_resnet_equals_that_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        depths=[3, 4, 6, 3], hidden_sizes=[256, 512, 1024, 2048], embedding_size=64,
        layer_type="bottleneck",
    )  # fmt: skip
    theirs = transformers.ResNetModel(config).eval()
    scatter(theirs)
    ours = ResNet(4).eval()
    loaded = load_resnet(ours, resnet_names(theirs.state_dict()))
    assert len(loaded.used) == len(theirs.state_dict())
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    expected = theirs(image, output_hidden_states=True).hidden_states[1:]
    for stage, reference in zip(ours(image), expected, strict=True):
        assert float(reference.std()) > 1e-3
        limit = 1e-4 * max(float(reference.abs().max()), 1)
        torch.testing.assert_close(stage, reference, rtol=0, atol=limit)
