"""Make an engine of a bundle or a graph: out of the cache, or by a build."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from export.engine.cache import PlanCache
from export.engine.entry import LOG, PLAN, load_engine, write_sidecar
from export.engine.graphs import choose_graph
from export.engine.job import Job
from export.engine.launch import run_build
from export.engine.options import (
    AUTO,
    FUSED,
    MODES,
    NATIVE,
    Options,
    check_options,
    frame_range,
)
from export.engine.ours import OwnAttention, with_our_attention
from export.engine.plan import Built, Engine
from export.engine.recipe import Recipe
from export.engine.targets import Target, resolve_target
from export.progress import Progress, silent
from sdk.bundle import Bundle
from sdk.errors import BackendError, UsageError

_GRAPH = "network.onnx"


def build(
    bundle: Bundle | str | os.PathLike[str] | None,
    *,
    target: str = "this",
    precision: str = "fp16",
    batch: Sequence[int] = (1,),
    timing_cache: str | os.PathLike[str] | None = None,
    version_compatible: bool = False,
    strip: bool = False,
    hardware_compat: bool = False,
    plugins: Sequence[str | os.PathLike[str]] = (),
    attention: str = NATIVE,
    cache: bool = True,
    progress: Progress = silent,
) -> Engine:
    """Build an engine from a bundle.

    The bundle's graph already has the precision; networks are strongly typed everywhere, so that
    TensorRT 10, 11 and TensorRT-RTX compute with the same types.

    Args:
        bundle: The model, its path, or the name of a packaged one.
        target: "this" (this machine's GPU), "jetson-orin", "rtx", or "sm_86" and the like.
        precision: "fp32", "fp16", "bf16" or "int8".
        batch: Numbers of frames at once: one, or smallest and largest, or the usual one between.
        timing_cache: File with the builder's measurements, to make the next build faster.
        version_compatible: Let later versions of the same major run the plan.
        strip: Leave the weights out; a runtime that has the graph puts them back.
        hardware_compat: Let every GPU from Ampere on run the plan.
        plugins: Libraries with operators, which become part of the plan.
        attention: "native": TensorRT's own; "fused": ours where it computes the same, from the
            library among the plugins or else in the plan; "auto": whichever makes the whole engine
            faster on this machine, with scores that are right. TensorRT-RTX has its own only.
        cache: Take the plan from the cache if it is there, and keep it there.
        progress: Told where the build is; raise from it to cancel.

    Raises:
        UsageError: The arguments contradict each other or the backend.
        BundleError: The bundle is damaged, or lacks the precision.
        BackendError: TensorRT is missing, or refuses the network; the message names the node.
        SinkError: The cache cannot be written.
    """
    if not isinstance(bundle, Bundle):
        bundle = Bundle.load(bundle)
    options = Options(
        batch=tuple(batch),
        timing_cache=None if timing_cache is None else os.fspath(timing_cache),
        version_compatible=version_compatible,
        strip=strip,
        hardware_compat=hardware_compat,
        plugins=tuple(str(Path(plugin).absolute()) for plugin in plugins),
        cache=cache,
        attention=_check_mode(attention),
    )
    resolved = resolve_target(target)
    if options.attention == AUTO:
        return _build_faster(bundle, precision, resolved, options, progress)
    return _build_form(bundle, precision, resolved, options, progress)


def _check_mode(attention: str) -> str:
    if attention not in MODES:
        raise UsageError(
            f"There is no attention {attention!r}.", hint=f"There are {', '.join(MODES)}."
        )
    return attention


def _build_form(
    bundle: Bundle, precision: str, target: Target, options: Options, progress: Progress
) -> Engine:
    """Build the graph of a precision with one kind of attention."""
    graph = choose_graph(bundle, precision, frame_range(options.batch), target.toolkit.features)
    return build_graph(
        bundle.members[graph.file],
        name=bundle.manifest.id,
        precision=precision,
        profile=graph.profile,
        target=target,
        pictures={name: view.shape[0] for name, view in bundle.views.items()},
        options=options,
        progress=progress,
    )


def _build_faster(
    bundle: Bundle, precision: str, target: Target, options: Options, progress: Progress
) -> Engine:
    """Build both kinds of attention and keep the faster; native where ours cannot be had."""
    from export.engine.trial import choose_engine

    own = msgspec.structs.replace(options, attention=NATIVE, plugins=())  # bundles need none
    native = _build_form(bundle, precision, target, own, progress)
    if not target.toolkit.features.plugins:
        return replace(native, choice=f"{target.toolkit.name} takes no plugins")
    try:
        ours = msgspec.structs.replace(options, attention=FUSED)
        fused = _build_form(bundle, precision, target, ours, progress)
    except (BackendError, UsageError) as error:
        return replace(native, choice=f"ours cannot be had: {error}")
    choice = choose_engine(bundle, native, fused, progress)
    return replace(fused if choice.attention == FUSED else native, choice=choice.reason)


def build_graph(
    graph: bytes,
    *,
    name: str,
    precision: str,
    target: str | Target = "this",
    profile: str = "compat",
    pictures: Mapping[str, int] | None = None,
    options: Options | None = None,
    progress: Progress = silent,
) -> Engine:
    """Build an engine from an ONNX graph without a bundle.

    Args:
        graph: The ONNX file.
        name: What to call it in the cache: letters, digits, `.`, `_` and `-`.
        precision: Its arithmetic, for the record: the graph decides.
        target: As in `build`, or what `resolve_target` has made of it.
        profile: Its profile, for the record.
        pictures: Pictures in one frame, by input; 1 where not named.
        options: Everything else.
        progress: As in `build`.

    Raises:
        FramescoreError: As in `build`.
    """
    options = options or Options()
    if not re.fullmatch(r"\w[\w.-]{0,63}", name):
        raise UsageError(
            f"{name!r} cannot name an engine.", hint="Use letters, digits, '.', '_' and '-'."
        )
    target = resolve_target(target) if isinstance(target, str) else target
    check_options(target.toolkit, options)
    recipe = _recipe(graph, name, precision, profile, target, dict(pictures or {}), options)
    own = OwnAttention(graph, ())
    if options.attention == FUSED:
        own = with_our_attention(graph, target.toolkit, options)
        recipe = msgspec.structs.replace(recipe, rewritten_sha256=own.sha256)

    def run(folder: Path) -> Built:
        return _run(folder, own, recipe, options, progress)

    if options.cache:
        return PlanCache().get_or_build(recipe, run, progress)
    with TemporaryDirectory(prefix="framescore-") as folder:
        info = write_sidecar(Path(folder), recipe, run(Path(folder)))
        built = load_engine(Path(folder), info, from_cache=False)
    return Engine(built.plan, info)


def _run(
    folder: Path, own: OwnAttention, recipe: Recipe, options: Options, progress: Progress
) -> Built:
    source = folder / _GRAPH
    source.write_bytes(own.graph)
    job = Job(
        backend=recipe.backend,
        graph=str(source),
        plan=str(folder / PLAN),
        log=str(folder / LOG),
        batch=recipe.batch,
        pictures=recipe.shapes,
        capabilities=recipe.capabilities,
        version_compatible=options.version_compatible,
        strip=options.strip,
        hardware_compat=options.hardware_compat,
        plugins=options.plugins,
        timing_cache=options.timing_cache or "",
        allow_w8a8=options.allow_w8a8,
        kernels=own.kernels,
        own_attention=own.nodes,
    )
    built = run_build(job, progress)
    source.unlink()  # the bundle has it
    return built


def _recipe(
    graph: bytes,
    name: str,
    precision: str,
    profile: str,
    target: Target,
    pictures: dict[str, int],
    options: Options,
) -> Recipe:
    gpu = target.gpu
    return Recipe(
        model=name,
        onnx_sha256=hashlib.sha256(graph).hexdigest(),
        precision=precision,
        profile=profile,
        target=target.name,
        batch=frame_range(options.batch),
        shapes=pictures,
        backend=target.toolkit.backend,
        version=target.toolkit.version,
        capabilities=target.capabilities or ((gpu.capability,) if gpu else ()),
        device=gpu.name if gpu else "",
        driver=gpu.driver if gpu else "",
        version_compatible=options.version_compatible,
        strip=options.strip,
        hardware_compat=options.hardware_compat,
        plugins=tuple(_sha256(path) for path in options.plugins),
        attention=options.attention,
    )


def _sha256(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"The plugin {path} cannot be read: {error.strerror}.") from error
