from __future__ import annotations

import pytest

from export.frame_set import FrameSet

from .networks import frames


@pytest.fixture(scope="session")
def calibration() -> FrameSet:
    return frames(48).split(0.3)[0]


@pytest.fixture(scope="session")
def gate() -> FrameSet:
    return frames(48).split(0.3)[1]
