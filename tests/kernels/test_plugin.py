"""The TensorRT plugin against TensorRT's headers: it was never loaded by TensorRT here.

Needs the headers (TensorRT's tar or deb package, or its public repository): TENSORRT_INCLUDE names
their folder. They are not part of this repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from .emulated import KERNELS, OK, REPOSITORY, Library, Workshop

TILES = [1, 2, 3, 4, 5]  # attention.h


@pytest.fixture(scope="module")
def headers() -> Path:
    named = Path(os.environ.get("TENSORRT_INCLUDE", "/usr/include/x86_64-linux-gnu"))
    if not (named / "NvInferRuntime.h").is_file():
        pytest.skip("needs TensorRT's headers; TENSORRT_INCLUDE names their folder")
    return named


@pytest.fixture(scope="module")
def plugin(workshop: Workshop, headers: Path) -> Library:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CPLUS_INCLUDE_PATH", str(headers))
        sources = [*sorted((KERNELS / "attention").glob("*.cu"))]
        driver = REPOSITORY / "tests" / "kernels" / "plugin_driver.cpp"
        return workshop.library("plugin", [*sources, driver])


def reference(qkv: np.ndarray, scale: float, bias: np.ndarray | None) -> np.ndarray:
    query, key, value = (qkv[:, :, i].astype(np.float64).transpose(0, 2, 1, 3) for i in range(3))
    scores = query @ key.transpose(0, 1, 3, 2) * scale
    scores += 0 if bias is None else bias[:, :, : scores.shape[-1]].astype(np.float64)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ value  # [B, H, N, D]
    return mixed.transpose(0, 2, 1, 3)


@pytest.mark.parametrize("tactic", [0, *TILES])
@pytest.mark.parametrize("biased", [False, True])
def test_a_stored_plugin_computes_attention(plugin: Library, tactic: int, biased: bool) -> None:
    batch, tokens, heads, dim, scale = 2, 37, 3, 64, 0.2
    rng = np.random.default_rng(tactic)
    qkv = rng.normal(size=(batch, tokens, 3, heads, dim)).astype(np.float16)
    bias = rng.normal(size=(heads, tokens, tokens + 1)).astype(np.float16) if biased else None
    out = np.full((batch, tokens, heads, dim), np.nan, np.float16)
    call = plugin.call(
        "plugin_run", qkv, bias, out, 0, batch, tokens, heads, dim, tokens + 1, scale, tactic,
        reads=[qkv, bias], writes=[out],
    )  # fmt: skip
    assert call.status == OK, call.message
    expected = reference(qkv, scale, bias)
    assert np.linalg.norm(out - expected) <= 5e-4 * np.linalg.norm(expected)


def test_scale_zero_means_the_usual_one(plugin: Library) -> None:
    rng = np.random.default_rng(9)
    qkv = rng.normal(size=(1, 16, 3, 1, 64)).astype(np.float16)
    out = np.zeros((1, 16, 1, 64), np.float16)
    call = plugin.call(
        "plugin_run", qkv, None, out, 0, 1, 16, 1, 64, 0, 0.0, 0, reads=[qkv], writes=[out]
    )
    assert call.status == OK, call.message
    expected = reference(qkv, 1 / 8, None)
    assert np.linalg.norm(out - expected) <= 5e-4 * np.linalg.norm(expected)


def test_tactics_are_the_tiles_that_fit_the_device(plugin: Library) -> None:
    tactics = np.zeros(8, np.int32)

    def offered(heads: int, width: int) -> list[int] | int:
        count = plugin.call("plugin_tactics", heads, width, tactics, reads=[], writes=[tactics])
        return count.status if count.status < 0 else tactics[: count.status].tolist()

    assert offered(6, 3 * 6 * 64) == TILES
    plugin.set_device(16, 48 * 1024)
    assert offered(6, 3 * 6 * 64) == TILES[:-1]  # the resident tile needs more
    plugin.set_device(16, 163 * 1024)
    assert offered(3, 3 * 3 * 128) == [2, 4]
    assert offered(6, 3 * 6 * 40) == -1  # no kernel of that head dimension
    assert offered(6, 1153) == -1  # not divisible


def test_formats_and_shapes(plugin: Library) -> None:
    assert plugin.call("plugin_supports", reads=[], writes=[]).status == 0b00011
    call = plugin.call("plugin_output_width", 6, 1152, reads=[], writes=[])
    assert call.status == 384


@pytest.mark.parametrize(
    ("heads", "scale", "exists"),
    [(6, 0.0, 1), (6, 0.125, 1), (0, 0.125, 0), (-1, 0.0, 0), (6, -1.0, 0), (6, float("nan"), 0)],
)
def test_fields_are_checked(plugin: Library, heads: int, scale: float, exists: int) -> None:
    assert plugin.call("plugin_exists", heads, scale, reads=[], writes=[]).status == exists


@pytest.mark.slow
def test_nvcc_compiles_it_against_these_headers(headers: Path, tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc")
    for source in (
        KERNELS / "plugin" / name for name in ("attention_plugin.cu", "plugin_library.cu")
    ):
        includes = [f"-I{KERNELS}", f"-I{KERNELS / 'include'}", "-isystem", str(headers)]
        command = ["nvcc", "-std=c++17", "-arch=sm_80", *includes, "-c", str(source)]
        target = tmp_path / "object.o"
        done = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        symbols = subprocess.run(["nm", "-uC", str(target)], capture_output=True, text=True)
        # Nothing of libnvinfer is called: the library loads without it.
        assert "getPluginRegistry" not in symbols.stdout
        assert "getLogger" not in symbols.stdout
