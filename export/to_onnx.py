"""From a torch module to one ONNX graph. The only module here that imports torch."""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import onnx
import torch
from onnxscript import ir
from onnxscript.optimizer import fold_constants, remove_unused_nodes
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from export.checkpoint import account_for, state_dictionary, strip_prefixes
from export.convention import ImageConvention
from export.fold import fold
from export.graph import OPSETS, RANDOM_OPERATORS, finish_graph, refuse_chance
from export.models import find_builder
from export.trace_errors import cannot_run, cannot_trace, first_line
from sdk.errors import UsageError
from sdk.views import View

if TYPE_CHECKING:
    from export.reference import Inputs, Outputs

_LARGEST_BATCH = 1024


@dataclass(frozen=True)
class ViewNetwork:
    """A module that takes uint8 views and returns scores, as `export.original.Original`.

    Attributes:
        network: Takes uint8 [N, H, W, 3] tensors in the order of `views`; returns float32 tensors
            [N] (those of `export.graph.ROWS` [N, K]) as a tuple in the order of `outputs` or by
            name.
        views: Its inputs.
        outputs: What it returns.
    """

    network: nn.Module
    views: Mapping[str, View]
    outputs: tuple[str, ...] = ("score",)

    @property
    def name(self) -> str:
        """The class of the module."""
        return type(self.network).__name__

    def graph(self, profile: str = "compat", *, dynamic_batch: bool = False) -> onnx.ModelProto:
        """Trace the module; see `export.original.Original.graph`."""
        wanted, samples = self._wanted(2 if dynamic_batch else 1)
        traced = _trace(
            wanted, samples, list(self.views), self.outputs, profile, dynamic_batch=dynamic_batch
        )
        return finish_graph(traced, self.views, self.outputs, dynamic_batch=dynamic_batch)

    def run(self, inputs: Inputs) -> Outputs:
        """Run the module on one frame."""
        wanted, _ = self._wanted(1)
        with torch.no_grad():
            values = wanted(*(torch.from_numpy(array) for array in inputs.values()))
        return {name: value.numpy() for name, value in zip(self.outputs, values, strict=True)}

    def _wanted(self, batch: int) -> tuple[_Wanted, list[Tensor]]:
        shapes = [view.shape for view in self.views.values()]
        samples = [torch.zeros((batch * n, *rest), dtype=torch.uint8) for n, *rest in shapes]
        found = _try(self.network, samples, self.name)
        if set(self.outputs) <= set(found):
            return _Wanted(self.network, self.outputs), samples
        if len(found) != len(self.outputs):
            raise UsageError(
                f"{self.name} returns {len(found)} tensors ({', '.join(found)}); its description "
                f"names {len(self.outputs)} ({', '.join(self.outputs)})."
            )
        return _Wanted(self.network, tuple(found)), samples


@dataclass(frozen=True)
class ImageNetwork:
    """Any module from pictures to a number, as `export.original.Original`.

    Attributes:
        network: Takes float32 [N, 3, H, W]; returns a tensor, or a tuple, dictionary or output
            object with one that is one number for each picture.
        view: What it takes, with the name of the bundle's input.
        convention: How it reads pixels, and what its number means.
    """

    network: nn.Module
    view: tuple[str, View]
    convention: ImageConvention

    outputs = ("score",)

    @property
    def name(self) -> str:
        """The class of the module."""
        return type(self.network).__name__

    @property
    def views(self) -> Mapping[str, View]:
        """The one input."""
        return dict([self.view])

    def graph(self, profile: str = "compat", *, dynamic_batch: bool = False) -> onnx.ModelProto:
        """Trace the module and fold it; see `export.original.Original.graph`."""
        count, height, width, channels = self.view[1].shape
        sample = torch.zeros((2 * count if dynamic_batch else count, channels, height, width))
        wanted = _Wanted(self.network, (self._choose(sample),))
        traced = _trace(
            wanted, [sample], ["pixels"], ["output"], profile, dynamic_batch=dynamic_batch
        )
        chosen = ImageConvention(
            *(getattr(self.convention, name) for name in ("mean", "std", "bgr", "low", "high"))
        )  # of the outputs only the chosen one was traced
        folded = fold(traced, *self.view, chosen, dynamic_batch=dynamic_batch)
        return finish_graph(folded, self.views, self.outputs, dynamic_batch=dynamic_batch)

    def run(self, inputs: Inputs) -> Outputs:
        """Run the module on one frame, with pixels and score computed in numpy."""
        [pictures] = inputs.values()
        pixels = torch.from_numpy(self.convention.pixels(pictures, channels_first=True))
        with torch.no_grad():
            found = flatten_outputs(self.network(pixels))
        shapes = {name: tuple(value.shape) for name, value in found.items()}
        value = found[self.convention.choose(shapes, len(pictures))]
        return {"score": self.convention.score(value.numpy())}

    def _choose(self, sample: Tensor) -> str:
        found = _try(self.network, [sample], self.name)
        shapes = {name: tuple(value.shape) for name, value in found.items()}
        return self.convention.choose(shapes, len(sample))


def load_model(model: str | nn.Module, weights: Path | None = None) -> nn.Module:
    """Build a network and load its weights.

    Args:
        model: "package.module:function" that returns a module, or the module.
        weights: State dictionary, .safetensors or torch's own, also nested in a checkpoint; all
            numbers become float32. None keeps the weights that the module has.

    Raises:
        UsageError: The name leads nowhere, or the weights do not fit.
    """
    network = build_network(model) if isinstance(model, str) else model
    if weights is not None:
        load_weights(network, weights)
    return network.float().eval()


def build_network(name: str) -> nn.Module:
    """Call "package.module:function", which must return a module.

    Raises:
        UsageError: There is no such function, it fails, or it returns something else.
    """
    _, builder = find_builder(name)
    try:
        network = builder()
    except Exception as error:
        raise UsageError(
            f"Model {name!r} cannot be built: {type(error).__name__}: {first_line(error)}.",
            hint="The function is called without arguments; wrap it in one that needs none.",
        ) from error
    if isinstance(network, nn.Module):
        return network
    raise UsageError(f"{name} returns a {type(network).__name__}; it must return an nn.Module.")


def load_weights(network: nn.Module, file: Path) -> None:
    """Load weights into a network; every tensor must have its place.

    Raises:
        UsageError: The file cannot be read or holds code, or tensors are missing or left over.
    """
    given = state_dictionary(_read_weights(file), str(file))
    state = strip_prefixes(given, network.state_dict())
    make_room: Any = getattr(network, "make_room_for", None)
    if make_room is not None:  # for parts that only some weights have
        make_room(state)
    wanted = network.state_dict()
    later: Mapping[str, str] = getattr(network, "fitted_later", {})
    account_for(state, wanted, str(file), tied=_tied(wanted), later=later)
    network.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor
         for name, tensor in state.items()}, strict=False
    )  # fmt: skip


def flatten_outputs(value: Any, name: str = "") -> dict[str, Tensor]:
    """Return the tensors in what a module returned, by name: keys and positions, dotted."""
    if isinstance(value, Tensor):
        return {name or "output": value}
    if hasattr(value, "_asdict"):  # a named tuple
        value = value._asdict()
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    found: dict[str, Tensor] = {}
    if isinstance(value, Mapping):
        for key, inner in value.items():
            found.update(flatten_outputs(inner, f"{name}.{key}" if name else str(key)))
    return found


class _Wanted(nn.Module):
    """Only those outputs of a network that are wanted, as a tuple."""

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = tuple(names)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = flatten_outputs(self.network(*inputs))
        return tuple(found[name] for name in self.names)


def _try(network: nn.Module, samples: Sequence[Tensor], name: str) -> dict[str, Tensor]:
    """Run a network once: what does not fit shows here, before tracing hides it."""
    try:
        with _quiet(), torch.no_grad():
            found = flatten_outputs(network.eval()(*samples))
    except Exception as error:
        shapes = ", ".join(str(list(sample.shape)) for sample in samples)
        raise cannot_run(
            name, f"{samples[0].dtype} {shapes}".removeprefix("torch."), error
        ) from error
    if not found:
        raise UsageError(f"{name} returns no tensor.", hint="Its forward() must return the score.")
    return found


def _trace(
    model: _Wanted,
    samples: Sequence[Tensor],
    inputs: Sequence[str],
    outputs: Sequence[str],
    profile: str,
    *,
    dynamic_batch: bool,
) -> onnx.ModelProto:
    """Trace a network with fixed shapes, or with a free first dimension."""
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    shapes = (tuple({0: batch} for _ in samples),) if dynamic_batch else None
    stacks: dict[str, str] = {}
    try:
        # The kernel of plain products: others return layouts that their own traces contradict,
        # which ends the export of Swin. A trace calls none of them.
        with _quiet(), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            program = torch.export.export(
                model, tuple(samples), dynamic_shapes=shapes, strict=False
            )
            stacks = {str(n.target): n.meta.get("stack_trace") or "" for n in program.graph.nodes}
            exported = torch.onnx.export(
                program,
                (),
                dynamo=True,
                opset_version=OPSETS[profile],
                input_names=list(inputs),
                output_names=list(outputs),
                optimize=False,  # its rewriting would fold batch norms and round the weights anew
                verbose=False,
            )
    except Exception as error:  # torch has no common base for what a trace may raise
        raise cannot_trace(type(model.network).__name__, error, stacks) from error
    assert exported is not None  # so typed for exports to a file
    traced = exported.model
    if any(node.op_type in RANDOM_OPERATORS for node in traced.graph):
        refuse_chance(ir.to_proto(traced))  # now: folding would make constants of them
    fold_constants(traced, onnx_shape_inference=True, output_size_limit=2**30)
    remove_unused_nodes(traced)
    return ir.to_proto(traced)


def _tied(state: Mapping[str, Tensor]) -> list[set[str]]:
    """Groups of names that share one tensor."""
    groups: dict[tuple[int, tuple[int, ...]], set[str]] = {}
    for name, tensor in state.items():
        groups.setdefault((tensor.data_ptr(), tuple(tensor.shape)), set()).add(name)
    return [names for names in groups.values() if len(names) > 1]


def _read_weights(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"Weights {path} cannot be read: {error.strerror or error}.") from error
    except (UnpicklingError, EOFError) as error:
        raise _holds_code(path, error) from error
    except Exception as error:  # safetensors, zip and torch each raise their own
        raise UsageError(
            f"Weights {path} cannot be read: {first_line(error).partition('. ')[0]}.",
            hint="Give a .safetensors file or what torch.save(model.state_dict(), FILE) wrote.",
        ) from error


def _holds_code(path: Path, error: Exception) -> UsageError:
    """Explain why a pickle is not loaded, if it is one."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    if named is None:
        return UsageError(
            f"Weights {path} cannot be read: they are neither safetensors nor torch's.",
            hint="Give a .safetensors file or what torch.save(model.state_dict(), FILE) wrote.",
        )
    return UsageError(
        f"{path} holds Python objects ({named[1]}), not only tensors; loading them would run "
        "whatever code the file brings.",
        hint="Where you trust it, load it with torch and save the weights alone: "
        "torch.save(model.state_dict(), FILE).",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on its own internals away from the user."""
    loggers: list[Any] = [logging.getLogger(name) for name in ("torch", "onnxscript")]
    levels = [logger.level for logger in loggers]
    noise = io.StringIO()  # torch prints the graph where a trace ends
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), redirect_stdout(noise), redirect_stderr(noise):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
