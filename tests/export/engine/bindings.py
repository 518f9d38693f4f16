"""The Python bindings of TensorRT without TensorRT: its libraries replaced by empty ones.

The bindings' wheels hold every class, enumeration and signature of the API and can be had where the
libraries cannot. To be imported they need a handful of C functions, which only calls would reach.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")

DESCRIBE = """
import importlib, inspect, json, sys
module = importlib.import_module(sys.argv[1])

def describe(thing, depth):
    members = {}
    for name in dir(thing):
        if name.startswith("_") and name not in ("__init__", "__version__"):
            continue
        value = getattr(thing, name)
        if inspect.isclass(value) and depth < 2:
            members[name] = describe(value, depth + 1)
        else:
            members[name] = (value.__doc__ or "") if callable(value) else ""
    return members

print(json.dumps(describe(module, 0)))
"""


def describe_installed(module: str) -> dict[str, Any]:
    """Return classes, members and docstrings of a module that can be imported as it is."""
    return _describe(module, dict(os.environ))


def describe_wheel(wheel: Path, folder: Path) -> dict[str, Any]:
    """Return the same of the bindings in a wheel.

    Args:
        wheel: A wheel of tensorrt-cu12-bindings or tensorrt-cu13-bindings.
        folder: An empty folder to work in.
    """
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "wheel")
    return describe_folder(folder / "wheel", folder)


def describe_folder(site: Path, folder: Path) -> dict[str, Any]:
    """Return the same of the bindings in a folder of packages."""
    [native] = (site / "tensorrt_bindings").glob("tensorrt*.so")
    _write_stubs(folder / "lib", _needed_major(native))
    paths = {"LD_LIBRARY_PATH": str(folder / "lib"), "PYTHONPATH": str(site)}
    return _describe("tensorrt_bindings", {**os.environ, **paths})


def _needed_major(native: Path) -> int:
    """The major version of the libraries that the bindings ask for."""
    data = native.read_bytes()
    [major] = {n for n in range(8, 20) if f"libnvinfer.so.{n}\0".encode() in data}
    return major


def _write_stubs(folder: Path, major: int) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler for libraries that stand in for TensorRT's")
    folder.mkdir()
    source = folder / "stubs.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in FUNCTIONS))
    for library in LIBRARIES:
        name = f"lib{library}.so.{major}"
        options = ["-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name)]
        subprocess.run([compiler, *options, str(source)], check=True)


def _describe(module: str, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-c", DESCRIBE, module]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)
