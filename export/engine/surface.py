"""The part of TensorRT's Python API that engines are built with, as types.

mypy keeps the rest of this package within it, and a test looks up each class, attribute and
argument of it in the bindings of TensorRT 10.3 to 11 and of TensorRT-RTX: what cannot be built here
at least names nothing that is not there. `CLASSES` maps each type to TensorRT's name for it,
`OPTIONAL` names what only some of them have; `export.engine.api.Features` probes for those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol


class Enumerator(Protocol):
    """A member of one of TensorRT's enumerations."""

    @property
    def name(self) -> str: ...  # noqa: D102

    def __int__(self) -> int: ...


class ITensor(Protocol):
    """A tensor of a network that is being defined."""

    name: str

    @property
    def shape(self) -> Sequence[int]: ...  # noqa: D102

    @property
    def dtype(self) -> Enumerator: ...  # noqa: D102


class ILayer(Protocol):
    """A layer of a network that is being defined."""

    name: str
    metadata: str

    @property
    def type(self) -> Enumerator: ...  # noqa: D102

    @property
    def num_inputs(self) -> int: ...  # noqa: D102

    @property
    def num_outputs(self) -> int: ...  # noqa: D102

    def get_input(self, index: int, /) -> ITensor | None: ...  # noqa: D102

    def get_output(self, index: int, /) -> ITensor | None: ...  # noqa: D102


class IAttention(Protocol):
    """A native attention, which spans several layers."""

    decomposable: bool


class IAttentionInputLayer(Protocol):
    """Where a native attention begins."""

    @property
    def attention(self) -> IAttention: ...  # noqa: D102


class INetwork(Protocol):
    """A network that is being defined."""

    @property
    def num_inputs(self) -> int: ...  # noqa: D102

    @property
    def num_outputs(self) -> int: ...  # noqa: D102

    @property
    def num_layers(self) -> int: ...  # noqa: D102

    def get_input(self, index: int, /) -> ITensor: ...  # noqa: D102

    def get_output(self, index: int, /) -> ITensor: ...  # noqa: D102

    def get_layer(self, index: int, /) -> ILayer: ...  # noqa: D102


class IParserError(Protocol):
    """Why the ONNX parser refuses a graph."""

    def desc(self) -> str: ...  # noqa: D102

    def node_name(self) -> str: ...  # noqa: D102

    def node_operator(self) -> str: ...  # noqa: D102


class IParser(Protocol):
    """The ONNX parser."""

    @property
    def num_errors(self) -> int: ...  # noqa: D102

    def parse(self, model: bytes, /) -> bool: ...  # noqa: D102

    def get_error(self, index: int, /) -> IParserError: ...  # noqa: D102


class IOptimizationProfile(Protocol):
    """The range of shapes that an engine is made for."""

    def set_shape(  # noqa: D102
        self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int], /
    ) -> None: ...


class IHostMemory(Protocol):
    """Bytes that TensorRT owns; `memoryview` reads them."""

    @property
    def nbytes(self) -> int: ...  # noqa: D102

    def __buffer__(self, flags: int, /) -> memoryview: ...


class ITimingCache(Protocol):
    """What the builder measured."""

    def serialize(self) -> IHostMemory: ...  # noqa: D102


class IBuilderConfig(Protocol):
    """How an engine is to be built."""

    progress_monitor: object
    profiling_verbosity: Enumerator
    hardware_compatibility_level: Enumerator
    plugins_to_serialize: Sequence[str]
    num_compute_capabilities: int

    def set_flag(self, flag: Enumerator, /) -> None: ...  # noqa: D102

    def add_optimization_profile(self, profile: IOptimizationProfile, /) -> int: ...  # noqa: D102

    def create_timing_cache(self, serialized_timing_cache: bytes, /) -> ITimingCache | None: ...  # noqa: D102

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool, /) -> bool: ...  # noqa: D102

    def get_timing_cache(self) -> ITimingCache | None: ...  # noqa: D102

    def set_compute_capability(self, capability: Enumerator, index: int, /) -> bool: ...  # noqa: D102


class IPluginRegistry(Protocol):
    """The operators that TensorRT knows beyond its own."""

    def load_library(self, plugin_path: str, /) -> object | None: ...  # noqa: D102


class IBuilder(Protocol):
    """Builds engines."""

    def create_network(self, flags: int, /) -> INetwork: ...  # noqa: D102

    def create_builder_config(self) -> IBuilderConfig: ...  # noqa: D102

    def create_optimization_profile(self) -> IOptimizationProfile: ...  # noqa: D102

    def get_plugin_registry(self) -> IPluginRegistry: ...  # noqa: D102

    def build_serialized_network(  # noqa: D102
        self, network: INetwork, config: IBuilderConfig, /
    ) -> IHostMemory | None: ...


class IInspector(Protocol):
    """Says what an engine consists of."""

    def get_engine_information(self, format: Enumerator, /) -> str: ...  # noqa: D102


class IExecutionContext(Protocol):
    """An engine at work."""

    def set_input_shape(self, name: str, shape: Sequence[int], /) -> bool: ...  # noqa: D102

    def set_tensor_address(self, name: str, memory: int, /) -> bool: ...  # noqa: D102

    def execute_async_v3(self, stream_handle: int, /) -> bool: ...  # noqa: D102


class ICudaEngine(Protocol):
    """An engine on the GPU."""

    def create_execution_context(self) -> IExecutionContext: ...  # noqa: D102

    def create_engine_inspector(self) -> IInspector: ...  # noqa: D102


class IRuntime(Protocol):
    """Loads engines; needs a GPU."""

    engine_host_code_allowed: bool

    def deserialize_cuda_engine(self, serialized_engine: bytes, /) -> ICudaEngine | None: ...  # noqa: D102


class NetworkFlags(Protocol):
    """Kinds of networks."""

    STRONGLY_TYPED: Enumerator


class BuilderFlags(Protocol):
    """Switches of a build."""

    VERSION_COMPATIBLE: Enumerator
    STRIP_PLAN: Enumerator
    REFIT_IDENTICAL: Enumerator


class HardwareLevels(Protocol):
    """How far an engine may travel."""

    AMPERE_PLUS: Enumerator


class Verbosities(Protocol):
    """How much an engine tells of itself."""

    DETAILED: Enumerator


class InformationFormats(Protocol):
    """How an inspector writes."""

    JSON: Enumerator


class Severities(Protocol):
    """How bad a message is."""

    INTERNAL_ERROR: Enumerator
    ERROR: Enumerator
    WARNING: Enumerator
    INFO: Enumerator
    VERBOSE: Enumerator


class LayerTypes(Protocol):
    """Kinds of layers that are looked for."""

    CAST: Enumerator
    CONSTANT: Enumerator
    DEQUANTIZE: Enumerator
    ELEMENTWISE: Enumerator
    IDENTITY: Enumerator
    MATRIX_MULTIPLY: Enumerator
    QUANTIZE: Enumerator
    SELECT: Enumerator
    SHUFFLE: Enumerator
    SOFTMAX: Enumerator
    ATTENTION_INPUT: Enumerator


class ILogger(Protocol):
    """Base of loggers; its method is for us to write, TensorRT calls it."""

    def log(self, severity: Enumerator, msg: str, /) -> None: ...  # noqa: D102


class IProgressMonitor(Protocol):
    """Base of progress monitors; its methods are for us to write, TensorRT calls them."""

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int, /) -> None: ...  # noqa: D102

    def step_complete(self, phase_name: str, step: int, /) -> bool: ...  # noqa: D102

    def phase_finish(self, phase_name: str, /) -> None: ...  # noqa: D102


class TensorRT(Protocol):
    """The module `tensorrt` or `tensorrt_rtx`."""

    __version__: str
    ILogger: Any  # base classes: mypy takes none that it finds at run time
    IProgressMonitor: Any
    IAttentionInputLayer: Any
    BuilderFlag: BuilderFlags
    ComputeCapability: Any
    HardwareCompatibilityLevel: HardwareLevels
    LayerInformationFormat: InformationFormats
    LayerType: LayerTypes
    NetworkDefinitionCreationFlag: NetworkFlags
    ProfilingVerbosity: Verbosities

    def Builder(self, logger: object, /) -> IBuilder: ...  # noqa: D102

    def OnnxParser(self, network: INetwork, logger: object, /) -> IParser: ...  # noqa: D102

    def Runtime(self, logger: object, /) -> IRuntime: ...  # noqa: D102

    def init_libnvinfer_plugins(self, logger: object, namespace: str, /) -> bool: ...  # noqa: D102


CLASSES: Final[dict[type, str]] = {
    ITensor: "ITensor",
    ILayer: "ILayer",
    IAttention: "IAttention",
    IAttentionInputLayer: "IAttentionInputLayer",
    INetwork: "INetworkDefinition",
    IParserError: "ParserError",
    IParser: "OnnxParser",
    IOptimizationProfile: "IOptimizationProfile",
    IHostMemory: "IHostMemory",
    ITimingCache: "ITimingCache",
    IBuilderConfig: "IBuilderConfig",
    IPluginRegistry: "IPluginRegistry",
    IBuilder: "Builder",
    IInspector: "EngineInspector",
    IExecutionContext: "IExecutionContext",
    ICudaEngine: "ICudaEngine",
    IRuntime: "Runtime",
    NetworkFlags: "NetworkDefinitionCreationFlag",
    BuilderFlags: "BuilderFlag",
    HardwareLevels: "HardwareCompatibilityLevel",
    Verbosities: "ProfilingVerbosity",
    InformationFormats: "LayerInformationFormat",
    Severities: "ILogger.Severity",
    LayerTypes: "LayerType",
    ILogger: "ILogger",
    IProgressMonitor: "IProgressMonitor",
}

OPTIONAL: Final[dict[str, tuple[str, ...]]] = {
    "ahead_of_time": (
        "ComputeCapability",
        "IBuilderConfig.num_compute_capabilities",
        "IBuilderConfig.set_compute_capability",
    ),
    "plugins": ("INetworkDefinition.add_plugin_v3",),
    "quick_plugins": (
        "KernelLaunchParams",
        "NetworkDefinitionCreationFlag.PREFER_AOT_PYTHON_PLUGINS",
    ),
    "native_attention": (
        "INetworkDefinition.add_attention",
        "IAttention",
        "IAttentionInputLayer",
        "LayerType.ATTENTION_INPUT",
    ),
}
"""Names that only some bindings have, by the field of `export.engine.api.Features` that says so."""
