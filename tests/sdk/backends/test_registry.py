from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sdk.backends import create_backend
from sdk.bundle import Bundle
from sdk.errors import BackendError, BundleError, UsageError


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


def hide(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Make packages look as if they were not installed."""
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


def test_auto_prefers_openvino(bundle: Bundle) -> None:
    assert create_backend(bundle).name == "openvino"


def test_auto_falls_back_to_onnxruntime(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    hide(monkeypatch, "openvino")
    assert create_backend(bundle).name == "onnxruntime"


def test_missing_backend_gives_the_pip_line(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "onnxruntime")
    with pytest.raises(BackendError, match="needs the package onnxruntime") as caught:
        create_backend(bundle, "onnxruntime")
    assert "pip install 'framescore[onnxruntime]'" in caught.value.hint


def test_no_backend_at_all_gives_the_pip_line(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, "openvino", "onnxruntime")
    with pytest.raises(BackendError, match="No inference backend is installed") as caught:
        create_backend(bundle)
    assert "pip install openvino" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cuda"}, "backend is 'cuda'; allowed are auto, openvino, onnxruntime"),
        ({"precision": "int4"}, "precision is 'int4'; allowed are auto, fp32, bf16, fp16"),
        ({"threads": 0}, "threads is 0; it must be an integer from 1 to 1024"),
        ({"threads": 100_000}, "threads is 100000; it must be an integer from 1 to 1024"),
        ({"threads": -2}, "threads is -2"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"threads": True}, "threads is True"),
        ({"lanes": 0}, "lanes is 0"),
    ],
)
def test_what_cannot_be(bundle: Bundle, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create_backend(bundle, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precision_that_the_bundle_lacks(bundle: Bundle, precision: str) -> None:
    with pytest.raises(BundleError, match=rf"has no {precision} graph; it has fp32 compat\.") as e:
        create_backend(bundle, "openvino", precision)
    assert "framescore export" in e.value.hint
