"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent

# Deadlines measure the machine, not the code; on CI the same examples run every time.
settings.register_profile("framescore", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("framescore")

# A shell ignores interrupts in what it runs in the background, and every process below inherits it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Beside each other, workers that all use every core wait for one another most of the time.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    threads = max((os.cpu_count() or 1) // workers, 1)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # torch reads it when it is imported


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data sets that lie beside the repository; tests that need them skip where they don't."""
    data = REPOSITORY.parent / "shared" / "data"
    if not data.is_dir():
        pytest.skip("needs the data sets in ../shared/data")
    return data
