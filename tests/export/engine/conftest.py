"""The real builder where it is installed, a cache of its own for every test, and a small bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdk.bundle import Bundle

from .small_graphs import write_small_bundle


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that engines are kept in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "framescore" / "engines"


@pytest.fixture(scope="session")
def rtx() -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX isn't installed: the extra rtx")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "small.framescore")


@pytest.fixture(scope="session")
def free_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its batch is free."""
    return write_small_bundle(tmp_path_factory.mktemp("free") / "free.framescore", free=True)
