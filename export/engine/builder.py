"""From a job to a plan: what is done with TensorRT, in the builder's process."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Final

from export.attention_plugin import register
from export.engine.api import Toolkit, load_toolkit
from export.engine.fusion import (
    Fusion,
    find_attention,
    match_fusion,
    read_inspected_layers,
    read_logged_layers,
)
from export.engine.job import Job, Message, Step
from export.engine.log import BuildLog, make_logger
from export.engine.monitor import TOTAL, Phases, make_monitor
from export.engine.network import (
    describe_tensors,
    fill_profile,
    layers_of,
    parse_graph,
    quantised_activations,
)
from export.engine.plan import Built
from export.engine.surface import IBuilder, IBuilderConfig, INetwork
from export.engine.timing import load_timings, save_timings
from sdk.errors import BackendError

_HINTS: Final = {
    r"FP32 GEMM is not supported": "On Turing TensorRT-RTX multiplies FP16 matrices only, and this "
    "graph has others, such as a head kept in FP32: build for sm_80 and later.",
    r"dedicated kernel": "Build the compat profile, whose attention consists of plain products.",
    r"CUDA driver version|no CUDA-capable device": "This build needs a GPU with a recent driver.",
    r"[Oo]ut of memory|OutOfMemory": "Close what else uses the GPU, or build for a smaller batch.",
}

Send = Callable[[Message], None]


def build_plan(job: Job, send: Send) -> Built:
    """Build a plan and write it where the job says.

    Args:
        job: What to build.
        send: Gets progress and notes.

    Returns:
        What is known of the plan.

    Raises:
        BackendError: TensorRT is missing, or does not take or build the graph.
        UsageError: The job asks for what cannot be.
    """
    toolkit = load_toolkit(job.backend)
    with open(job.log, "a", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
        return _build(toolkit, job, BuildLog(file), send)


def _build(toolkit: Toolkit, job: Job, log: BuildLog, send: Send) -> Built:
    start = perf_counter()
    send(Step("parsing", 0, 0))
    logger = make_logger(toolkit.module, log)
    builder = toolkit.module.Builder(logger)
    _load_plugins(toolkit, builder, logger, job)
    network = parse_graph(toolkit, builder, logger, Path(job.graph).read_bytes())
    _refuse_w8a8(toolkit, network, job)
    config = _configure(toolkit, builder, network, job, send)
    phases = Phases(lambda done: send(Step("building", done, TOTAL)))
    config.progress_monitor = make_monitor(toolkit.module, phases)
    memory = builder.build_serialized_network(network, config)
    if memory is None:
        raise _failure(toolkit, log)
    plan = bytes(memoryview(memory))
    Path(job.plan).write_bytes(plan)
    seconds = perf_counter() - start
    if job.timing_cache:
        save_timings(config, Path(job.timing_cache))
    send(Step("inspecting", 0, 0))
    return Built(
        tensors=describe_tensors(network, job.batch, job.pictures),
        layers=network.num_layers,
        fusion=_fusion(toolkit, network, plan, log, logger).with_ours(job.own_attention),
        seconds=round(seconds, 3),
    )


def _configure(
    toolkit: Toolkit, builder: IBuilder, network: INetwork, job: Job, send: Send
) -> IBuilderConfig:
    trt, config = toolkit.module, builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # names nodes; costs no time
    profile = builder.create_optimization_profile()
    if fill_profile(network, profile, job.batch, job.pictures):
        config.add_optimization_profile(profile)
    if job.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if job.strip:  # REFIT alone may drop the bias of a product (TensorRT 11.3); this one does not
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)
    if job.hardware_compat:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if job.plugins:
        config.plugins_to_serialize = list(job.plugins)
    if job.capabilities:
        _name_capabilities(toolkit, config, job.capabilities)
    if job.timing_cache:
        load_timings(config, Path(job.timing_cache), send)
    return config


def _name_capabilities(
    toolkit: Toolkit, config: IBuilderConfig, capabilities: tuple[int, ...]
) -> None:
    kinds = toolkit.module.ComputeCapability.__members__.values()
    by_number = {int(kind): kind for kind in kinds}
    config.num_compute_capabilities = len(capabilities)
    for index, number in enumerate(capabilities):
        config.set_compute_capability(by_number[number], index)


def _load_plugins(toolkit: Toolkit, builder: IBuilder, logger: object, job: Job) -> None:
    if not toolkit.features.plugins:
        return
    toolkit.module.init_libnvinfer_plugins(logger, "")
    registry = builder.get_plugin_registry()
    for library in job.plugins:
        if registry.load_library(library) is None:
            raise BackendError(
                f"{toolkit.name} cannot load the plugin library {library}.",
                hint="Is it built for this TensorRT, and are the libraries it needs found?",
            )
    if job.kernels:
        register(job.kernels)


def _refuse_w8a8(toolkit: Toolkit, network: INetwork, job: Job) -> None:
    """TensorRT-RTX builds INT8 activations without complaint; its documentation has none.

    Its support matrix knows INT8 weights only, so that the plan may fail or be wrong where it runs.
    """
    if not toolkit.features.ahead_of_time or job.allow_w8a8:
        return
    found = quantised_activations(toolkit.module, network)
    if found:
        raise BackendError(
            f"{toolkit.name} is not known to run INT8 activations, and {len(found)} are quantised "
            f"here, the first by {found[0]!r}. It would build a plan; no GPU has confirmed it yet.",
            hint="Build fp16 for TensorRT-RTX, or int8 with TensorRT: --target this",
        )


def _failure(toolkit: Toolkit, log: BuildLog) -> BackendError:
    reason = log.errors[0] if log.errors else "no reason was given"
    hint = next((text for key, text in _HINTS.items() if re.search(key, reason)), "")
    return BackendError(f"{toolkit.name} cannot build this network: {reason}.", hint=hint)


def _fusion(
    toolkit: Toolkit, network: INetwork, plan: bytes, log: BuildLog, logger: object
) -> Fusion:
    native = toolkit.features.native_attention
    attention = find_attention(toolkit.module, layers_of(network), native=native)
    if not attention:
        return Fusion()
    if log.layers:
        return match_fusion(attention, read_logged_layers(log.layers), "builder log")
    return match_fusion(
        attention, read_inspected_layers(_inspect(toolkit, plan, logger)), "inspector"
    )


def _inspect(toolkit: Toolkit, plan: bytes, logger: object) -> str:
    """Return the inspector's description of a plan; `{}` where the plan cannot be loaded."""
    trt = toolkit.module
    with suppress(RuntimeError, TypeError):  # without a GPU there may be no runtime at all
        engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
        if engine is not None:
            inspector = engine.create_engine_inspector()
            return inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    return "{}"
