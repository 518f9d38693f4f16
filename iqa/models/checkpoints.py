"""Start networks from checkpoints that users bring: timm's ViT, torchvision's or timm's ResNet-50.

Neither library is needed. Every tensor of a checkpoint is accounted for: it is used, or it belongs
to a part that the network leaves out on purpose, or loading stops and names it. Nothing is loaded
in part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from iqa.models.resnet import ResNet
from iqa.models.vit import VisionTransformer
from sdk.errors import UsageError

State = Mapping[str, Tensor]

WRAPPERS = ("model", "state_dict")  # keys under which training scripts put the tensors
PREFIX = "module."  # of data-parallel training
LISTED = 6  # names that a message shows
# DeiT-III's own release names its layer scales otherwise than timm does.
VIT_RENAMED = ((r"^(blocks\.\d+)\.gamma_([12])$", r"\1.ls\2.gamma"),)
VIT_LEFT_OUT = (r"blocks\.\d+\..+", r"(norm|fc_norm|head|head_drop|pre_logits)\..+")
RESNET_LEFT_OUT = (r"layer[1-4]\..+", r"fc\.(weight|bias)")
OPTIONAL = r"(.+\.)?num_batches_tracked"  # older torchvision files lack it; it is never read here


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a checkpoint's tensors, by their names in the checkpoint."""

    used: tuple[str, ...]
    left_out: tuple[str, ...]


def load_vit(vit: VisionTransformer, state: State) -> Loaded:
    """Start a vision transformer from timm's ``vit_small_patch16_224`` or a DeiT-III of its shape.

    Left out are blocks past the network's last, and the norm and classifier where it has none.

    Args:
        vit: Any depth up to the checkpoint's.
        state: Tensors by timm's names; float16 becomes float32.

    Raises:
        UsageError: A tensor is missing, of another shape or unknown; the message names it.
    """
    renamed = {_renamed(name): name for name in state}
    depth = len(vit.blocks)
    known = [name for name in renamed if _matches(name, VIT_LEFT_OUT)]
    left_out = [n for n in known if not n.startswith("blocks.") or int(n.split(".")[1]) >= depth]
    return _load(vit, {new: state[old] for new, old in renamed.items()}, left_out, renamed)


def load_resnet(resnet: ResNet, state: State) -> Loaded:
    """Start a ResNet-50 from torchvision's or timm's ``resnet50``.

    Left out are stages past the network's last, and the classifier.

    Args:
        resnet: With any number of stages.
        state: Tensors by their common names; float16 becomes float32.

    Raises:
        UsageError: A tensor is missing, of another shape or unknown; the message names it.
    """
    known = [name for name in state if _matches(name, RESNET_LEFT_OUT)]
    left_out = [n for n in known if n.startswith("fc.") or int(n[len("layer")]) > resnet.stages]
    return _load(resnet, state, left_out, {name: name for name in state})


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file, or of torch's own with or without a usual wrapper.

    Args:
        path: A file that the user has; torch's are read without running what is pickled in them.

    Raises:
        UsageError: The file is missing, unreadable or holds other things than tensors.
    """
    try:
        state = _read(path)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        raise UsageError(
            f"Checkpoint {path} cannot be read: {error}",
            hint="Give a .safetensors file, or a state dictionary saved by torch.save.",
        ) from error
    for key in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state:
        raise UsageError(f"Checkpoint {path} holds no dictionary of tensors.")
    if odd := [str(name) for name, value in state.items() if not isinstance(value, Tensor)]:
        raise UsageError(f"Checkpoint {path} holds other things than tensors: {_list(odd)}.")
    if all(name.startswith(PREFIX) for name in state):
        state = {name[len(PREFIX) :]: value for name, value in state.items()}
    return dict(state)


def _read(path: Path) -> object:
    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True)
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _load(
    module: nn.Module, state: State, left_out: Sequence[str], origin: Mapping[str, str]
) -> Loaded:
    """Copy ``state`` into ``module`` if every tensor of both has its place."""
    own = module.state_dict()
    dropped = {name for name in left_out if name not in own}
    missing = [n for n in own if n not in state and not re.fullmatch(OPTIONAL, n)]
    unknown = [origin[n] for n in state if n not in own and n not in dropped]
    shapes = [
        f"{origin[n]} {list(state[n].shape)} instead of {list(own[n].shape)}"
        for n in own
        if n in state and state[n].shape != own[n].shape
    ]
    problems = {"missing": missing, "unknown": unknown, "of another shape": shapes}
    if found := [f"{what}: {_list(names)}" for what, names in problems.items() if names]:
        raise UsageError(
            f"The checkpoint does not fit {type(module).__name__}. " + "; ".join(found) + ".",
            hint="Give vit_small_patch16_224 of timm for the transformer, resnet50 of torchvision "
            "or timm for the ResNet.",
        )
    used = {name: state[name] for name in own if name in state}
    module.load_state_dict(used, strict=False)
    return Loaded(tuple(origin[n] for n in used), tuple(origin[n] for n in state if n in dropped))


def _renamed(name: str) -> str:
    for pattern, replacement in VIT_RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
