"""What we call of TensorRT exists: in 10.3 (JetPack 6), 10.16 (JetPack 7), 11 and TensorRT-RTX.

mypy holds the code to `export.engine.surface`; here that is compared with the bindings.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import export.engine
from export.engine.surface import CLASSES, OPTIONAL, TensorRT

from .bindings import describe_folder, describe_installed, describe_wheel

Bindings = dict[str, Any]

WHEELS = "build/bindings"  # `make` fetches them there
FEATURES = {
    "10.3": {"plugins"},
    "10.16": {"plugins", "quick_plugins", "native_attention"},
    "11": {"plugins", "quick_plugins", "native_attention"},
    "rtx": {"ahead_of_time", "native_attention"},
}
NOT_BOUND = {"__buffer__", "__int__"}  # Python's own protocols, which bindings needn't spell out


@pytest.fixture(scope="module", params=list(FEATURES))
def bindings(
    request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Bindings]:
    version = request.param
    if version == "rtx":
        pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX isn't installed: the extra rtx")
        return version, describe_installed("tensorrt_rtx")
    folder = tmp_path_factory.mktemp("bindings")
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheels = sorted((repository / WHEELS).glob(f"tensorrt_cu*_bindings-{version}.*-{tag}-*.whl"))
    if wheels:
        return version, describe_wheel(wheels[-1], folder)
    spec = find_spec("tensorrt_bindings")
    if version == "11" and spec is not None and spec.origin is not None:
        found = describe_folder(Path(spec.origin).parent.parent, folder)
        if has(found, "IMoELayer"):  # new in 11
            return version, found
    pytest.skip(f"no wheel of tensorrt-cu12-bindings {version} is in {WHEELS}: see the Makefile")


def test_every_name_exists(bindings: tuple[str, Bindings]) -> None:
    version, found = bindings
    allowed = {
        name for feature, names in OPTIONAL.items() if feature not in FEATURES[version]
        for name in names
    }  # fmt: skip
    missing = {name for name in every_name() if not has(found, name)}
    assert {name for name in missing if not any(_within(name, x) for x in allowed)} == set()


def test_features_are_told_apart(bindings: tuple[str, Bindings]) -> None:
    """A feature's names are all there or none is: a probe of them means something."""
    version, found = bindings
    for feature, names in OPTIONAL.items():
        assert {has(found, name) for name in names} == {feature in FEATURES[version]}, feature


def test_every_call_fits_its_signature(bindings: tuple[str, Bindings]) -> None:
    _, found = bindings
    wrong = {}
    for name, arguments in every_call():
        signature = get(found, name)
        if signature is not None and arguments not in accepted(signature):
            wrong[name] = (arguments, signature[:200])
    assert wrong == {}


def test_callbacks_have_the_arguments_that_tensorrt_passes(bindings: tuple[str, Bindings]) -> None:
    _, found = bindings
    for name, expected in {
        "IProgressMonitor.phase_start": ["phase_name", "parent_phase", "num_steps"],
        "IProgressMonitor.step_complete": ["phase_name", "step"],
        "IProgressMonitor.phase_finish": ["phase_name"],
        "ILogger.log": ["severity", "msg"],
    }.items():
        assert re.findall(r"(\w+): ", get(found, name).split("->")[0])[1:] == expected


def test_nothing_is_called_behind_the_types_back() -> None:
    """Any would let a call past mypy: the package says so nowhere but where classes are derived."""
    folder = Path(export.engine.__file__).parent
    users = {
        path.name
        for path in folder.glob("*.py")
        if any(
            isinstance(n, ast.Name) and n.id == "Any" for n in ast.walk(ast.parse(path.read_text()))
        )
    }
    assert users == {"surface.py", "log.py", "monitor.py", "cuda.py"}  # the last: no TensorRT


def every_name() -> Iterator[str]:
    """Every dotted name of the surface as TensorRT has it."""
    yield from OPTIONAL_NAMES
    yield from members(TensorRT)
    for protocol, owner in CLASSES.items():
        yield from (f"{owner}.{name}" for name in members(protocol))


OPTIONAL_NAMES = [name for names in OPTIONAL.values() for name in names]


def every_call() -> Iterator[tuple[str, int]]:
    """Every method of the surface with the number of arguments that we pass."""
    for protocol, owner in [(TensorRT, ""), *CLASSES.items()]:
        for name, value in vars(protocol).items():
            if isinstance(value, FunctionType) and name in members(protocol):
                dotted = f"{owner}.{name}".lstrip(".")
                count = len(inspect.signature(value).parameters) - 1
                yield dotted + (".__init__" if name[0].isupper() else ""), count


def members(protocol: type) -> set[str]:
    names = {*vars(protocol), *protocol.__annotations__}
    own = {name for name in names if not name.startswith("_") or name == "__version__"}
    return own - NOT_BOUND


def _within(name: str, other: str) -> bool:
    return name == other or name.startswith(f"{other}.")


def get(found: Bindings, dotted: str) -> Any:
    here: Any = found
    for part in dotted.split("."):
        if not isinstance(here, dict) or part not in here:
            return None
        here = here[part]
    return here


def has(found: Bindings, dotted: str) -> bool:
    return get(found, dotted) is not None


def accepted(signature: str) -> set[int]:
    """How many arguments a pybind11 function takes, by the signatures in its docstring."""
    counts = set()
    for arguments in re.findall(r"\w+\((self: [^)]*|[^)]*)\) ->", signature):
        parts = [part for part in arguments.split(", ") if part and part != "*args, **kwargs"]
        own = [part for part in parts if not part.startswith("self:")]
        required = [part for part in own if " = " not in part]
        counts |= set(range(len(required), len(own) + 1))
    return counts
