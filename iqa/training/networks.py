"""How each kind of network is built, started, fed and cut for semantic noise."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from iqa.models import glint_edge, glintiqa, qfm_iqm
from iqa.models.checkpoints import load_resnet, load_vit, read_checkpoint
from iqa.models.glint_edge import GlintEdge, run
from iqa.models.glintiqa import GlintIQA
from iqa.models.uncertainty_head import heads_of, state_without_head
from iqa.models.vit import VisionTransformer
from iqa.qfm.adapters import GlintEdgeTokens, GlintIQATokens
from iqa.qfm.key import FrozenKey
from iqa.qfm.protocol import Opinion, TokenModel, Tokens
from iqa.training.objective import Outputs
from iqa.training.recipe import Architecture, Model, Triple
from sdk.errors import UsageError

Key = Callable[[Any], Tensor]
Load = Callable[[nn.Module, Mapping[str, Tensor]], object]


class Network(Protocol):
    """What training knows of a kind of network; the network itself is handed in.

    Attributes:
        views: Specs of its inputs.
        outputs: Names of the fields of :class:`Outputs` that it fills.
    """

    views: Sequence[str]
    outputs: frozenset[str]

    def inputs(self, model: nn.Module, raw: Sequence[Tensor]) -> Any:
        """From a batch's arrays to what :meth:`look` takes."""
        ...

    def look(self, model: nn.Module, inputs: Any) -> Outputs:
        """Its opinion."""
        ...

    def cut(self, model: nn.Module) -> TokenModel:
        """The network as tokens and a head."""
        ...

    def of_opinion(self, model: nn.Module, opinion: Opinion) -> Outputs:
        """What the head's opinion says in full."""
        ...

    def key(self, model: nn.Module) -> Key:
        """What pictures show, told by a frozen copy of ``model`` as it is now."""
        ...


class ScoreNetwork:
    """Normalised pictures ``[B, 3, H, W]`` of each view to a score ``[B]``, 0 to 1.

    Args:
        views, mean, std: Of its inputs.
        cut: Makes the token model; by default the network is one itself.
        backbone: Finds the transformer whose class token is the semantic key; by default the
            tokens' mean is.
    """

    outputs = frozenset({"quality"})

    def __init__(
        self,
        views: Sequence[str],
        mean: Triple,
        std: Triple,
        cut: Callable[[Any], Any] = lambda model: model,
        backbone: Callable[[Any], VisionTransformer] | None = None,
    ) -> None:
        self.views, self.mean, self.std = views, mean, std
        self._cut, self._backbone = cut, backbone

    def inputs(self, model: nn.Module, raw: Sequence[Tensor]) -> list[Tensor]:  # noqa: ARG002
        middle, spread = (raw[0].new_tensor(v, dtype=torch.float32) for v in (self.mean, self.std))
        return [((x.float() / 255 - middle) / spread).permute(0, 3, 1, 2) for x in raw]

    def look(self, model: nn.Module, inputs: list[Tensor]) -> Outputs:
        score = model(*inputs)
        score = score[0] if isinstance(score, tuple) else score
        return Outputs(score.reshape(len(inputs[0])))

    def cut(self, model: nn.Module) -> TokenModel:
        return _Unpacked(self._cut(model))

    def of_opinion(self, model: nn.Module, opinion: Opinion) -> Outputs:  # noqa: ARG002
        return Outputs(opinion.score)

    def key(self, model: nn.Module) -> Key:
        if self._backbone is not None:
            class_token = FrozenKey(self._backbone(model))
            return lambda inputs: class_token(inputs[0])
        cut = self.cut(_frozen(model))

        def pooled(inputs: list[Tensor]) -> Tensor:
            tokens = cut.tokens(inputs)
            return tokens.patches.mean(1) if tokens.context is None else tokens.context

        return pooled


class _Unpacked:
    """A token model of one input, from a list of one."""

    def __init__(self, model: TokenModel) -> None:
        self.model, self.head = model, model.head

    def tokens(self, inputs: list[Tensor]) -> Tokens:
        return self.model.tokens(*inputs)


class GlintEdgeNetwork:
    """glint-edge, from both views or from cached outputs of its trunk."""

    views = tuple(glint_edge.VIEWS.values())
    outputs = frozenset({"quality", "log_variance", "causes"})

    def inputs(self, model: GlintEdge, raw: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The trunk's outputs: ``[B, 24, 56, 56]`` and twice ``[B, 32, 28, 28]``."""
        if len(raw) == 3:
            local4, local8, context8 = (x.float().permute(0, 3, 1, 2) for x in raw)
            return local4, local8, context8
        frames = len(raw[0])
        stride4, stride8 = model.shallow(torch.cat([raw[0], raw[1]]))
        return stride4[:frames], stride8[:frames], stride8[frames:]

    def look(self, model: GlintEdge, inputs: tuple[Tensor, Tensor, Tensor]) -> Outputs:
        logit, log_variance, causes = model.deep_logits(*inputs)
        return Outputs(torch.sigmoid(logit), log_variance, causes)

    def cut(self, model: GlintEdge) -> TokenModel:
        return GlintEdgeTokens(model)

    def of_opinion(self, model: GlintEdge, opinion: Opinion) -> Outputs:
        log_variance = model.quality(opinion.hidden)[:, 1].clamp(-8, 4)
        return Outputs(opinion.score, log_variance, model.cause(opinion.hidden))

    def key(self, model: GlintEdge) -> Key:
        """The mean of the global view's last stage."""
        frozen = _frozen(model.context.deep)
        return lambda inputs: run(frozen, inputs[2]).mean(dim=(2, 3))


def _frozen(module: Any) -> Any:
    return copy.deepcopy(module).eval().requires_grad_(False)


def load_whole(
    model: nn.Module, state: Mapping[str, Tensor], option: str = "--start weights="
) -> None:
    """Load weights that ``framescore train`` wrote.

    Raises:
        UsageError: They are of another model; ``option`` is where they come from.
    """
    own, heads = state_without_head(model), heads_of(model)
    state = {name: value for name, value in state.items() if not name.startswith(heads)}
    odd = sorted(set(own) ^ set(state)) or [n for n in own if own[n].shape != state[n].shape]
    if odd:
        raise UsageError(
            f"{option} does not fit this model; {len(odd)} tensors differ, such as {odd[0]!r}.",
            hint="Give weights that framescore train wrote for the same model and options.",
        )
    model.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()})


WHOLE: dict[str, Load] = {"weights": load_whole}
STARTS: Mapping[str, dict[str, Load]] = {
    "glint-edge": {"mobilenet": lambda m, s: m.load_imagenet(s)},
    "glintiqa": {
        "vit": lambda m, s: load_vit(m.context.vit, s),
        "resnet": lambda m, s: load_resnet(m.local.trunk, s),
    },
    "qfm-iqm": {"vit": lambda m, s: load_vit(m.vit, s)},
}
BUILDERS: Mapping[str, tuple[Callable[..., nn.Module], Callable[[], Network]]] = {
    "glint-edge": (GlintEdge, GlintEdgeNetwork),
    "glintiqa": (
        GlintIQA,
        lambda: ScoreNetwork(
            (glintiqa.VIEW,), glintiqa.MEAN, glintiqa.STD, GlintIQATokens, lambda m: m.context.vit
        ),
    ),
    "qfm-iqm": (
        qfm_iqm.QfmIqm,
        lambda: ScoreNetwork((qfm_iqm.VIEW,), qfm_iqm.MEAN, qfm_iqm.STD, backbone=lambda m: m.vit),
    ),
}


def build_network(settings: Architecture, seed: int) -> tuple[nn.Module, Network]:
    """A model with fresh weights, decided by ``seed``, and how to meet it.

    Raises:
        UsageError: No such model, or options that it does not take.
    """
    if settings.name in BUILDERS:
        if settings.views:
            raise UsageError(f"[model] views: {settings.name} has its own.")
        builder, network = BUILDERS[settings.name]
    elif ":" in settings.name:
        if not settings.views:
            raise UsageError(
                f"[model] {settings.name} needs views.",
                hint='For example views = ["crops:3x3@224"].',
            )
        builder = _imported(settings.name)

        def network() -> Network:
            return ScoreNetwork(settings.views, settings.mean, settings.std)
    else:
        raise UsageError(
            f"[model] name is {settings.name!r}; allowed are {', '.join(BUILDERS)} and "
            "package.module:function."
        )
    torch.manual_seed(seed)
    try:
        model = builder(**settings.options)
    except TypeError as error:
        raise UsageError(f"[model] {settings.name} cannot be built: {error}.") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"[model] {settings.name} gave {type(model).__name__}, no nn.Module.")
    return model, network()


def _imported(name: str) -> Callable[..., nn.Module]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"[model] name {name!r} cannot be imported: {error}.",
            hint="Is its folder on PYTHONPATH?",
        ) from error
    return found


def start_from(model: nn.Module, settings: Model, files: Mapping[str, Path]) -> None:
    """Load the weights that the recipe starts from.

    Raises:
        UsageError: A part that the recipe asks for has no file, or the other way round.
    """
    known = STARTS.get(settings.name, {}) | WHOLE
    if wrong := [part for part in settings.start if part not in known]:
        raise UsageError(
            f"[model] start has {wrong[0]!r}; {settings.name} starts from {', '.join(known)}."
        )
    if set(settings.start) != set(files):
        asked = ", ".join(f"--start {part}=FILE" for part in settings.start) or "no --start"
        raise UsageError(
            f"The recipe asks for {asked}; given are {', '.join(files) or 'none'}.",
            hint="Change [model] start in the recipe to start from something else.",
        )
    for part in settings.start:
        state = read_checkpoint(files[part])
        try:
            known[part](model, state)
        except KeyError as error:
            raise UsageError(f"--start {part}={files[part]} lacks the tensor {error}.") from error


def freeze(model: nn.Module, parts: Sequence[str]) -> None:
    """Stop the gradients of parts, by the names of modules or parameters.

    Raises:
        UsageError: No parameter belongs to a part, or none is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    roots = dict.fromkeys(name.partition(".")[0] for name in names)
    for part in parts:
        if not any(within(name, part) for name in names):
            raise UsageError(
                f"[model] freeze has {part!r}, which is no part of the model.",
                hint=f"Its parts are {', '.join(roots)}.",
            )
    for name, parameter in model.named_parameters():
        if any(within(name, part) for part in parts):
            parameter.requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise UsageError("[model] freeze leaves nothing to train.")


def within(name: str, part: str) -> bool:
    """Whether a parameter belongs to a module."""
    return name == part or name.startswith(part + ".")
