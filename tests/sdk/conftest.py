"""Model bundles for tests: a tiny real one, and the packaged default where it is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdk.bundle import DEFAULT_MODEL, packaged_models

from .tiny_model import write_rich_bundle, write_tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle whose score is the mean brightness of both views · 100 / 255."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.framescore")


@pytest.fixture(scope="session")
def rich_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with uncertainty by cause and features; it never abstains."""
    return write_rich_bundle(tmp_path_factory.mktemp("rich") / "rich.framescore")


@pytest.fixture(scope="session")
def wary_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a sigma of a 25th of the score, that abstains above a score of 50."""
    path = tmp_path_factory.mktemp("wary") / "wary.framescore"
    return write_rich_bundle(path, sigma="share", abstain_above=2.0)


@pytest.fixture(scope="session")
def default_bundle() -> Path:
    """The packaged default model."""
    path = packaged_models().get(DEFAULT_MODEL)
    if path is None:
        pytest.skip("the default model is not packaged yet")
    return path
