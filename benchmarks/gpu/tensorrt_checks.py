"""The checks of `tensorrt_check`, each a function that returns figures or raises what is wrong."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np

from benchmarks.timing import summarise
from export.drift import TOLERANCES, measure_drift, violations
from export.engine import Engine, Options, build, build_graph
from export.engine.entry import SIDECAR, read_sidecar
from export.engine.loaded import LoadedEngine
from export.engine.options import FUSED, NATIVE
from export.engine.targets import resolve_target
from sdk.bundle import Bundle
from sdk.manifest import OnnxGraph


class NotApplicableError(Exception):
    """A check that means nothing here; the text says why."""


@dataclass(frozen=True)
class Plan:
    """What is to be checked."""

    bundle: Bundle
    target: str
    precisions: tuple[str, ...]
    runs: int
    warm_up: int
    build_only: bool
    plugins: tuple[str, ...] = ()


def checks(plan: Plan) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Yield every check with its name; none has run yet."""
    for precision in plan.precisions:
        yield f"build {precision}", lambda p=precision: check_build(plan, p)
        yield f"attention {precision}", lambda p=precision: check_attention(plan, p)
        yield f"scores {precision}", lambda p=precision: check_scores(plan, p)
        yield f"speed {precision}", lambda p=precision: check_speed(plan, p)
    for precision in plan.precisions:
        yield f"our attention {precision}", lambda p=precision: check_our_attention(plan, p)
        yield f"the faster attention {precision}", lambda p=precision: check_auto(plan, p)
    yield "cache: found again", lambda: check_found_again(plan)
    yield "cache: stale plan", lambda: check_stale(plan)
    yield "cache: damaged plan", lambda: check_damaged(plan)
    for option in ("version_compatible", "hardware_compat", "strip"):
        yield f"option {option}", lambda o=option: check_option(plan, o)
    yield "timing cache", lambda: check_timing_cache(plan)
    yield "INT8 activations on TensorRT-RTX", lambda: check_w8a8(plan)


def check_build(plan: Plan, precision: str) -> dict[str, Any]:
    """Build an engine of a precision."""
    engine = _build(plan, precision)
    return {
        "engine": engine.info.recipe.entry,
        "backend": f"{engine.backend} {engine.info.recipe.version}",
        "profile": engine.info.recipe.profile,
        "seconds": engine.seconds,
        "mebibytes": round(engine.info.size / 2**20, 2),
        "layers": engine.info.built.layers,
    }


def check_attention(plan: Plan, precision: str) -> dict[str, Any]:
    """See whether attention became fused kernels; in FP32 there are none."""
    fusion = _build(plan, precision).fusion
    if not fusion.blocks:
        raise NotApplicableError(str(fusion))
    found = {"attention": str(fusion), "unfused": list(fusion.unfused)}
    assert fusion.source, "neither the log nor the inspector told of the engine's layers"
    if precision != "fp32":
        assert not fusion.unfused, f"not fused: {', '.join(fusion.unfused)}"
    return found


def check_scores(plan: Plan, precision: str) -> dict[str, Any]:
    """Compare the scores of the golden frames with the bundle's, and with the tolerance."""
    with _loaded(plan, precision) as loaded:
        frames = plan.bundle.golden.frames()
        scores = [float(loaded.infer(frame)["score"][0]) for frame in frames]
    drift = measure_drift(plan.bundle.golden.score, np.array(scores))
    beyond = violations(drift, TOLERANCES[precision])
    assert not beyond, "; ".join(beyond)
    figures = {name: getattr(drift, name) for name in ("max_abs", "p99_abs", "mean_abs")}
    return {"frames": drift.frames, **figures, "rank_correlation": drift.rank_correlation}


def check_speed(plan: Plan, precision: str) -> dict[str, Any]:
    """Time one frame: on the GPU, as a CUDA graph, and with the copies."""
    with _loaded(plan, precision) as loaded:
        frame = next(iter(plan.bundle.golden.frames()))
        loaded.infer(frame)
        return {
            "gpu_ms": summarise(loaded.time_plain(plan.runs, plan.warm_up)),
            "graph_ms": summarise(loaded.time_graph(plan.runs, plan.warm_up)),
            "with_copies_ms": summarise(loaded.time_host(frame, plan.runs)),
        }


def check_our_attention(plan: Plan, precision: str) -> dict[str, Any]:
    """Build with our attention: by the library of --plugin, else by kernels within the plan."""
    _refuse_without_ours(plan, precision)
    engine = _build(plan, precision, attention=FUSED, plugins=plan.plugins)
    found = {"attention": str(engine.fusion), "seconds": engine.seconds}
    assert engine.attention == FUSED
    if plan.build_only:
        return {**found, "note": "built only, which proves nothing about running it"}
    loaded = _load(engine)
    scores = [float(loaded.infer(frame)["score"][0]) for frame in plan.bundle.golden.frames()]
    times = summarise(loaded.time_graph(plan.runs, plan.warm_up))
    loaded.close()
    drift = measure_drift(plan.bundle.golden.score, np.array(scores))
    beyond = violations(drift, TOLERANCES[precision])
    assert not beyond, "; ".join(beyond)
    return {**found, "graph_ms": times, "max_abs": drift.max_abs}


def check_auto(plan: Plan, precision: str) -> dict[str, Any]:
    """Let the build find out which attention makes the engine faster; see `export.engine.trial`."""
    _refuse_without_ours(plan, precision)
    if plan.build_only:
        raise NotApplicableError("--build-only runs nothing")
    engine = _build(plan, precision, attention="auto", plugins=plan.plugins)
    assert engine.attention in (NATIVE, FUSED)
    assert engine.choice, "nothing says why"
    return {"attention": engine.attention, "reason": engine.choice}


def _refuse_without_ours(plan: Plan, precision: str) -> None:
    if not resolve_target(plan.target).toolkit.features.plugins:
        raise NotApplicableError("TensorRT-RTX takes no plugins")
    if precision == "fp32":
        raise NotApplicableError("our attention is for fp16 and bf16")
    if not _build(plan, precision).fusion.blocks:
        raise NotApplicableError("no attention in this network")


def check_found_again(plan: Plan) -> dict[str, Any]:
    """A second build is none."""
    _build(plan, plan.precisions[0])
    again = _build(plan, plan.precisions[0])
    assert again.from_cache, "the plan was built twice"
    return {}


def check_stale(plan: Plan) -> dict[str, Any]:
    """A plan of another driver or version is built again, with a message that says so."""
    engine = _build(plan, plan.precisions[0])
    assert engine.path is not None
    sidecar = engine.path.with_name(SIDECAR)
    info = read_sidecar(sidecar)
    assert info is not None
    changed = {"driver": "0.0"} if info.recipe.driver else {"version": "0.0"}
    old = msgspec.structs.replace(info.recipe, **changed)
    sidecar.write_bytes(msgspec.json.encode(msgspec.structs.replace(info, recipe=old)))
    sidecar.parent.rename(sidecar.parent.with_name(old.entry))
    with _messages() as messages:
        again = _build(plan, plan.precisions[0])
    assert not again.from_cache, "the stale plan was used"
    assert messages, "it was built again without a word"
    return {"message": messages[0]}


def check_damaged(plan: Plan) -> dict[str, Any]:
    """A truncated plan is noticed."""
    engine = _build(plan, plan.precisions[0])
    assert engine.path is not None
    engine.path.write_bytes(engine.plan[: len(engine.plan) // 2])
    with _messages() as messages:
        again = _build(plan, plan.precisions[0])
    assert not again.from_cache, "the damaged plan was used"
    assert again.path is not None
    assert len(again.path.read_bytes()) == again.info.size
    return {"message": messages[0]}


def check_option(plan: Plan, option: str) -> dict[str, Any]:
    """Build with an option, and run what came of it where it holds weights."""
    if resolve_target(plan.target).toolkit.features.ahead_of_time:
        raise NotApplicableError("TensorRT-RTX has no such option, or strips on a GPU only")
    precision = plan.precisions[0]
    engine = build(plan.bundle, target=plan.target, precision=precision, **{option: True})
    found = {"mebibytes": round(engine.info.size / 2**20, 2), "seconds": engine.seconds}
    if option != "strip" and not plan.build_only:
        _load(engine).close()
    return found


def check_timing_cache(plan: Plan) -> dict[str, Any]:
    """A second build with the same timings is faster."""
    if resolve_target(plan.target).toolkit.features.ahead_of_time:
        raise NotApplicableError("TensorRT-RTX times nothing when it builds")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "timings"
        seconds = [_timed_build(plan, file) for _ in range(2)]
        assert file.stat().st_size > 0
    assert seconds[1] < seconds[0], f"the second took {seconds[1]} s, the first {seconds[0]} s"
    return {"first_seconds": seconds[0], "second_seconds": seconds[1]}


def check_w8a8(plan: Plan) -> dict[str, Any]:
    """Find out what TensorRT-RTX computes of INT8 activations, which it is not documented to take.

    Until this has passed on a GPU, `export.engine` refuses to build them.
    """
    target = resolve_target(plan.target)
    if not target.toolkit.features.ahead_of_time:
        raise NotApplicableError("this is TensorRT, which runs them")
    graph = _int8_graph(plan.bundle)
    if graph is None:
        raise NotApplicableError("the bundle has no int8 network")
    engine = build_graph(
        plan.bundle.members[graph.file],
        name=plan.bundle.manifest.id,
        precision="int8",
        target=target,
        options=Options(cache=False, allow_w8a8=True),
    )
    found = {"mebibytes": round(engine.info.size / 2**20, 2), "seconds": engine.seconds}
    if plan.build_only:
        return {**found, "note": "built only, which proves nothing about running it"}
    loaded = _load(engine)
    scores = [float(loaded.infer(x)["score"][0]) for x in plan.bundle.golden.frames()]
    loaded.close()
    beyond = violations(
        measure_drift(plan.bundle.golden.score, np.array(scores)), TOLERANCES["int8"]
    )
    assert not beyond, "; ".join(beyond)
    return found


@contextmanager
def _loaded(plan: Plan, precision: str) -> Iterator[LoadedEngine]:
    if plan.build_only:
        raise NotApplicableError("--build-only runs nothing")
    loaded = _load(_build(plan, precision))
    try:
        yield loaded
    finally:
        loaded.close()


@contextmanager
def _messages() -> Iterator[list[str]]:
    """Collect the warnings that users would see."""
    messages: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("framescore")
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def _build(plan: Plan, precision: str, **options: Any) -> Engine:
    return build(plan.bundle, target=plan.target, precision=precision, **options)


def _load(engine: Engine) -> LoadedEngine:
    return LoadedEngine(engine.backend, engine.plan, engine.info.built.tensors, sys.stderr)


def _timed_build(plan: Plan, file: Path) -> float:
    engine = build(
        plan.bundle,
        target=plan.target,
        precision=plan.precisions[0],
        timing_cache=file,
        cache=False,
    )
    return engine.seconds


def _int8_graph(bundle: Bundle) -> OnnxGraph | None:
    forms = [graph for graph in bundle.graphs() if graph.precision in ("int8+fp16", "int8")]
    return max(forms, key=lambda graph: graph.precision, default=None)
