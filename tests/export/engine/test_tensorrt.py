"""The way of enterprise TensorRT: its real bindings (11), over the library of TensorRT-RTX.

TensorRT's own library cannot be had here. The module `tensorrt` that the code sees in these tests
is the real one all the same: what its arguments are turned into, which features it shows, what it
returns. What the builder makes of them is TensorRT-RTX's doing; no statement about TensorRT's own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
import pytest

from export.attention import AHEAD, rewrite_attention

from .small_graphs import model, node, transformer

SCRIPT = """
import json, sys
import msgspec
from export.engine.api import load_toolkit
from export.engine.job import Job
from export.engine.launch import run_build
from sdk.errors import FramescoreError

steps = []
job = msgspec.json.decode(sys.argv[1], type=Job)
answer = {"features": msgspec.to_builtins(load_toolkit("tensorrt").features)}
try:
    built = run_build(job, lambda *step: steps.append(step))
    answer |= {"built": msgspec.to_builtins(built), "steps": len(steps)}
except FramescoreError as error:
    answer |= {"error": error.message, "hint": error.hint}
print(json.dumps(answer))
"""

Build = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where `import tensorrt` gives the bindings of TensorRT 11."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX isn't installed: the extra rtx")
    if find_spec("tensorrt_bindings") is None or find_spec("tensorrt") is not None:
        pytest.skip("needs tensorrt-cu13-bindings, and no TensorRT")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler for a library that hands calls on")
    folder = tmp_path_factory.mktemp("tensorrt")
    (folder / "tensorrt").mkdir()
    imports = ["from tensorrt_bindings import *", "from tensorrt_bindings import __version__"]
    (folder / "tensorrt" / "__init__.py").write_text("\n".join(imports))
    quick = Path(_origin("tensorrt_bindings")).with_name("plugin")
    (folder / "tensorrt" / "plugin").symlink_to(quick)
    libraries = Path(_origin("tensorrt_rtx_libs")).parent
    found = {
        "BUILDER": next(libraries.glob("libtensorrt_rtx.so.*")),
        "PARSER": next(libraries.glob("libtensorrt_onnxparser_rtx.so.*")),
    }
    for name in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        soname = f"lib{name}.so.11"
        source = Path(__file__).with_name("over_rtx.c")
        defines = [f'-D{key}="{path}"' for key, path in found.items()]
        options = ["-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", folder / soname]
        subprocess.run([compiler, *options, *defines, source, "-ldl"], check=True)
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return {
        **os.environ,
        "PYTHONPATH": paths,
        "LD_LIBRARY_PATH": f"{folder}{os.pathsep}{libraries}",
    }


@pytest.fixture
def build(environment: dict[str, str], tmp_path: Path) -> Build:
    def run(graph: bytes, **fields: Any) -> dict[str, Any]:
        (tmp_path / "graph.onnx").write_bytes(graph)
        files = {name: str(tmp_path / name) for name in ("graph.onnx", "plan", "log")}
        job = {"backend": "tensorrt", "graph": files["graph.onnx"], **fields}
        job |= {"plan": files["plan"], "log": files["log"]}
        command = [sys.executable, "-c", SCRIPT, json.dumps(job)]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def _origin(package: str) -> str:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return spec.origin


def test_features_of_tensorrt_are_seen(build: Build) -> None:
    answer = build(transformer("fp16"))
    assert answer["features"] == {
        "ahead_of_time": False, "plugins": True, "quick_plugins": True, "native_attention": True
    }  # fmt: skip


@pytest.mark.parametrize("native", [False, True], ids=["compat", "native"])
def test_a_plan_is_built(build: Build, tmp_path: Path, native: bool) -> None:
    answer = build(transformer("fp16", native=native))
    assert (tmp_path / "plan").stat().st_size > 10_000
    names = [(x["name"], x["type"]) for x in answer["built"]["tensors"]]
    assert names == [("picture", "uint8"), ("score", "float32")]
    assert answer["steps"] > 10
    assert "mha" in answer["built"]["fusion"]["blocks"][0]["kernel"]
    assert "Engine generation completed" in (tmp_path / "log").read_text()


def test_a_profile_is_taken(build: Build) -> None:
    answer = build(transformer("fp16", free=True), batch=[1, 4, 8])
    picture = answer["built"]["tensors"][0]
    assert [shape[0] for shape in picture["shapes"]] == [1, 4, 8]


def test_timings_are_written_and_read(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "timings"
    for _ in range(2):
        answer = build(transformer("fp16"), timing_cache=str(file))
        assert "built" in answer
        assert file.read_bytes()
    assert [path.name for path in tmp_path.glob(".*.part")] == []
    assert "Global timing cache in use" in (tmp_path / "log").read_text()


def test_timings_that_cannot_be_read_are_written_anew(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "timings"
    file.write_bytes(b"junk")
    assert "built" in build(transformer("fp16"), timing_cache=str(file))
    assert b"junk" not in file.read_bytes()


def test_timings_that_cannot_be_written(build: Build, tmp_path: Path) -> None:
    answer = build(transformer("fp16"), timing_cache=str(tmp_path / "none" / "timings"))
    assert "cannot be written: No such file or directory" in answer["error"]


def test_hardware_compatibility_is_asked_for(build: Build, tmp_path: Path) -> None:
    assert "built" in build(transformer("fp16"), hardware_compat=True)
    ignored = "setHardwareCompatibilityLevel() is unsupported in TensorRT-RTX"
    assert ignored in (tmp_path / "log").read_text()


def test_a_version_compatible_plan_wants_the_lean_runtime(build: Build) -> None:
    """TensorRT-RTX has none, by which the flag is seen to arrive."""
    assert "libnvinfer_lean" in build(transformer("fp16"), version_compatible=True)["error"]


def test_a_stripped_plan_is_compiled_for_refitting(build: Build) -> None:
    """TensorRT-RTX needs a GPU for that, by which the flags are seen to arrive."""
    answer = build(transformer("fp16"), strip=True)
    assert "built" in answer or "CUDA_SUCCESS" in answer["error"]


def test_plugins_that_cannot_be_loaded(build: Build) -> None:
    answer = build(transformer("fp16"), plugins=["/none/libours.so"])
    assert "cannot load the plugin library /none/libours.so" in answer["error"]


def test_unknown_operators_may_be_plugins(build: Build) -> None:
    shape = [1, 8]
    graph = model([node("Frobnicate", ["x"], "y")], [("x", 1, shape)], [("y", 1, shape)])
    answer = build(graph)
    assert "no operator or plugin is called Frobnicate" in answer["error"]
    assert answer["hint"] == "Name its library with --plugin."


def test_the_parser_finds_our_quick_plugin(build: Build, tmp_path: Path) -> None:
    """The node leads TensorRT's parser to what was registered; TensorRT-RTX has no more of it."""
    rewritten = rewrite_attention(onnx.load_from_string(transformer("fp16")), AHEAD)
    kernel = {
        "element": "HALF", "head_dim": 32, "tile": 2, "ptx": "", "rows": 64, "threads": 128,
        "shared_bytes": 40960,
    }  # fmt: skip
    graph = rewritten.model.SerializeToString()
    assert "no operator or plugin is called attention" in build(graph)["error"]
    answer = build(graph, kernels=[kernel], own_attention=list(rewritten.replaced))
    assert "Found registered plugin: attention" in (tmp_path / "log").read_text()
    assert "IPluginCreatorV3One creator only" in answer["error"]
