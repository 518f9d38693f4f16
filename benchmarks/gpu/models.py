"""Whole models on torch in fp16, with and without our kernels: latency and scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from time import monotonic
from types import MethodType
from typing import Any

from benchmarks.gpu import place
from benchmarks.gpu.graph_timing import time_graph
from benchmarks.gpu.place import stream
from sdk._kernels import Kernels

BATCHES = {"glintiqa": (1, 25), "glint-edge": (1, 8)}  # GlintIQA scores 25 crops of a picture
_SETS, _LAUNCHES = 4, 8
_PADDED = 8  # channel rows begin at multiples of so many elements


def measure_models(kernels: Kernels, until: float) -> list[dict[str, Any]]:
    """Rows by model, batch and variant; each variant is compared with plain torch in fp32."""
    rows = []
    for name, batch, variant in runs():
        row = {"model": name, "batch": batch, "variant": variant}
        if monotonic() > until:
            rows.append({**row, "unavailable": "the time was over"})
            continue
        try:
            rows.append(row | _measure(kernels, _BUILDERS[name], batch, variant))
        except Exception as error:  # one variant must not end the others
            text = f"{type(error).__name__}: {str(error)[:300]}"
            rows.append({**row, "unavailable": text})
    return rows


def runs() -> Iterator[tuple[str, int, str]]:
    """Model, batch and variant; torch.compile last, as it takes half a minute each time."""
    for variants in (("torch", "ours"), ("torch.compile",)):
        for name, batches in BATCHES.items():
            for batch, variant in product(batches, variants):
                yield name, batch, variant


def build_glint_edge() -> tuple[Any, tuple[tuple[int, ...], ...]]:
    """The network with fresh weights, and the shapes of its inputs for one frame (uint8)."""
    import torch

    from iqa.models import glint_edge

    torch.manual_seed(0)
    return glint_edge.build().to(place.DEVICE), ((224, 224, 3), (224, 224, 3))


def build_glintiqa() -> tuple[Any, tuple[tuple[int, ...], ...]]:
    """The network with fresh weights and the exact channel attention; normalised crops."""
    import torch

    from iqa.models import glintiqa

    torch.manual_seed(0)
    return glintiqa.build().to(place.DEVICE), ((3, 224, 224),)


_BUILDERS = {"glintiqa": build_glintiqa, "glint-edge": build_glint_edge}


def _measure(
    kernels: Kernels, build: Callable[[], Any], batch: int, variant: str
) -> dict[str, Any]:
    import torch

    network, shapes = build()
    sets = [_inputs(shapes, batch, seed) for seed in range(_SETS)]
    with torch.no_grad():
        exact = [_score(network(*given)) for given in sets]
        half = _half(network)
        sets = [tuple(one if one.dtype == torch.uint8 else one.half() for one in s) for s in sets]
        replaced = use_kernels(half, kernels) if variant == "ours" else 0
        call = torch.compile(half, dynamic=False) if variant == "torch.compile" else half
        timing = time_graph(lambda i: call(*sets[i]), _SETS, launches=_LAUNCHES)
        scores = [_score(call(*given)) for given in sets]
    difference = max((a - b).abs().max().item() for a, b in zip(exact, scores, strict=True))
    spread = torch.cat(exact).std().item() if batch * _SETS > 1 else 0.0
    return {
        **timing.as_dict(),
        "replaced_modules": replaced,
        "max_score_difference": difference,
        "score_deviation": spread,
    }


def _inputs(shapes: tuple[tuple[int, ...], ...], batch: int, seed: int) -> tuple[Any, ...]:
    import torch

    random = place.randomness(seed)
    made = []
    for shape in shapes:
        size = (batch, *shape)
        if shape[-1] == 3:  # a view, as the scorer gathers it
            noise = torch.randint(0, 256, size, generator=random, device=place.DEVICE)
            made.append(noise.to(torch.uint8))
        else:
            made.append(place.normal(random, *size))
    return tuple(made)


def _half(network: Any) -> Any:
    """The network in fp16; one that casts its uint8 input to float is told otherwise."""
    half = network.half()
    if hasattr(half, "shallow"):  # glint-edge
        half.shallow = MethodType(_shallow_half, half)
    return half


def _shallow_half(self: Any, view: Any) -> Any:
    """`GlintEdge.shallow` with fp16 instead of fp32 behind the normalisation."""
    x = ((view.float() - 127.5) / 127.5).half().permute(0, 3, 1, 2)
    stride4 = x
    for index, block in self.trunk.items():
        x = block(x)
        if index == "3":
            stride4 = x
    return stride4, x


def _score(returned: Any) -> Any:
    return (returned[0] if isinstance(returned, tuple) else returned).double().flatten()


def use_kernels(network: Any, kernels: Kernels) -> int:
    """Put our kernels where they fit; return how many modules use one."""
    from iqa.models import cwsa, glint_edge, vit

    replaced = 0
    for module in network.modules():
        if isinstance(module, vit.Attention):
            module.forward = MethodType(_attend(kernels), module)
        elif isinstance(module, glint_edge.Block):
            module.attend = MethodType(_attend(kernels), module)
        elif isinstance(module, vit.Block):
            module.forward = MethodType(_block(kernels), module)
        elif isinstance(module, cwsa.ChannelAttention):
            if not module.exact or module.legacy_perm or module.temperature is not None:
                continue
            _pad_projection(module)
            module.forward = MethodType(_attend_channels(kernels), module)
        else:
            continue
        replaced += 1
    return replaced


def _attend(kernels: Kernels) -> Callable[..., Any]:
    """Multi-head attention of a module with `qkv`, `proj` and `heads`."""

    def forward(self: Any, x: Any) -> Any:
        import torch

        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads)
        out = torch.empty_like(qkv[:, :, 0], memory_format=torch.contiguous_format)
        kernels.attention(qkv, out, stream=stream())
        return self.proj(out.view(batch, tokens, width))

    return forward


def _block(kernels: Kernels) -> Callable[..., Any]:
    """A pre-norm block whose second norm takes the residual addition along."""

    def forward(self: Any, x: Any) -> Any:
        import torch

        branch = self.ls1(self.attn(self.norm1(x))).contiguous()
        total, normalised = torch.empty_like(branch), torch.empty_like(branch)
        norm = self.norm2
        gamma, beta = norm.weight.detach(), norm.bias.detach()
        kernels.residual_layer_norm(
            branch, gamma, beta, normalised, residual=x.contiguous(), total=total,
            epsilon=norm.eps, stream=stream(),
        )  # fmt: skip
        return total + self.ls2(self.mlp(normalised))

    return forward


def _pad_projection(module: Any) -> None:
    """Widen the projection with zero rows, so that q, k and v begin at multiples of 16 bytes."""
    import torch

    positions = module.qkv.in_features
    stride = -(-positions // _PADDED) * _PADDED
    padded = torch.nn.Linear(positions, 3 * stride).to(module.qkv.weight)
    for parameter, old in ((padded.weight, module.qkv.weight), (padded.bias, module.qkv.bias)):
        rows = torch.zeros_like(parameter).unflatten(0, (3, stride))
        rows[:, :positions] = old.unflatten(0, (3, positions))
        parameter.data = rows.flatten(0, 1)
    module.qkv = padded
    module.positions, module.stride = positions, stride
    scales = (module.norm.weight, module.norm.bias)
    module.gamma, module.beta = (scale.detach().float() for scale in scales)


def _attend_channels(kernels: Kernels) -> Callable[..., Any]:
    """Exact channel attention with its norm and residual."""

    def forward(self: Any, x: Any) -> Any:
        import torch

        batch, channels, _ = x.shape
        residual = x.contiguous()
        qkv = self.qkv(residual).view(batch, channels, 3, self.stride)
        out = torch.empty_like(residual)
        kernels.channel_attention(
            qkv, out, self.positions, gamma=self.gamma, beta=self.beta, residual=residual,
            epsilon=self.norm.eps, stream=stream(),
        )  # fmt: skip
        return out

    return forward
