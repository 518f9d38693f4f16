"""Compilers for the tests of kernels."""

from __future__ import annotations

import os
import shutil

import pytest

from .emulated import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Compiles kernels for the emulation, each once for the whole run."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # the folder above belongs to all of them
        folder = folder.parent
    folder = folder / "emulated"
    folder.mkdir(exist_ok=True)
    return Workshop(folder)
