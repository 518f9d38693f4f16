from __future__ import annotations

import pytest

from export.frame_set import FrameSet
from sdk.bundle import Bundle

from .small_graphs import (
    OVERFLOWS,
    fp16_graph,
    fp32_graph,
    int8_graph,
    small_frames,
    write_small_bundle,
)


@pytest.fixture(scope="session")
def photographs() -> None:
    pytest.importorskip("skimage", reason="scikit-image, which brings the photographs, is missing")


@pytest.fixture(scope="session")
def frames(photographs: None) -> FrameSet:  # noqa: ARG001
    return small_frames(24, seed=1)


@pytest.fixture(scope="session")
def small_bundle(photographs: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:  # noqa: ARG001
    """A model in three precisions, as well made as its size allows."""
    fp32 = fp32_graph()
    return write_small_bundle(
        tmp_path_factory.mktemp("small") / "small.framescore",
        fp32=fp32,
        fp16=fp16_graph(fp32),
        int8=int8_graph(fp32, small_frames()),
    )


@pytest.fixture(scope="session")
def overflowing_bundle(photographs: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:  # noqa: ARG001
    """A model whose second convolution leaves the range of fp16, and comes back."""
    fp32 = fp32_graph(gain=OVERFLOWS)
    path = tmp_path_factory.mktemp("overflow") / "overflow.framescore"
    return write_small_bundle(path, fp32=fp32, fp16=fp16_graph(fp32))
