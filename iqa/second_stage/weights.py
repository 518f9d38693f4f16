"""Weights of a finished ``glint-edge``, read with or without heads, and written with one more."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor, nn

from iqa.models.glint_edge import GlintEdge
from iqa.tensor_file import write_tensors
from sdk.errors import UsageError

HEADS = ("uncertainty.", "scenes.")  # fitted after training, beside each other


def read_weights(path: Path) -> tuple[GlintEdge, str]:
    """The network in evaluation mode, of the size that the weights have, and their digest.

    The digest leaves out heads that the file may have: it is that of the network that is frozen.

    Raises:
        UsageError: The file cannot be read or holds another network.
    """
    try:
        state = {name: value.float() for name, value in load(path.read_bytes()).items()}
        model = GlintEdge(*_size(state))
        model.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        reason = f"it has no tensor {error}" if isinstance(error, KeyError) else error
        raise UsageError(
            f"Weights {path} cannot be used: {str(reason).splitlines()[0]}.",
            hint="Give the .safetensors of a trained glint-edge, as 'framescore train' writes.",
        ) from error
    return model.eval(), digest(state)


def digest(state: dict[str, Tensor]) -> str:
    """SHA-256 of the tensors that the score and the feature depend on."""
    found = hashlib.sha256()
    for name in sorted(n for n in state if not n.startswith(HEADS)):
        found.update(name.encode() + state[name].numpy().tobytes())
    return found.hexdigest()


def write_weights(source: Path, name: str, head: nn.Module, out: Path) -> None:
    """The file's tensors and notes as they are, bit for bit, with the head beside them in fp16.

    Args:
        source: The file.
        name: Of the head's place in the network; a head that the file has there is replaced.
        head: Fitted.
        out: Where to write.

    Raises:
        SinkError: ``out`` cannot be written.
    """
    start = name + "."
    state = {n: v for n, v in load(source.read_bytes()).items() if not n.startswith(start)}
    own = {start + n: v.detach().to(torch.float16) for n, v in head.named_parameters()}
    with safe_open(source, "pt") as file:
        notes = file.metadata()
    write_tensors(out, state | own, notes)


def _size(state: dict[str, Tensor]) -> tuple[int, int]:
    """Blocks and ratio of the hidden layer of the transformer."""
    blocks = len({name.split(".")[2] for name in state if name.startswith("context.blocks.")})
    hidden, width = state["context.blocks.0.mlp.0.weight"].shape
    return blocks, hidden // width
