"""The worst frames are saved with the source, what the network saw, and both scores."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from export.frame_set import FrameSet
from export.verify import verify_bundle
from export.verify.worst_frames import HEIGHT, save_worst_frames
from sdk.bundle import Bundle
from sdk.errors import SinkError


def test_pictures_show_source_and_views(
    overflowing_bundle: Bundle, frames: FrameSet, tmp_path: Path
) -> None:
    report = verify_bundle(overflowing_bundle, frames=frames, precisions=["fp16"])
    saved = save_worst_frames(report, frames, tmp_path / "new" / "worst")
    backends = ("openvino", "onnxruntime", "typed")
    expected = {f"fp16-{backend}-{rank}.png" for backend in backends for rank in range(1, 6)}
    assert {path.name for path in saved} == expected
    worst = report.outcomes[0].worst[0]
    picture = cv2.imread(str(tmp_path / "new" / "worst" / "fp16-openvino-1.png"))
    assert picture is not None
    body = picture[-HEIGHT:]
    view = frames.inputs[worst.index]["picture"][0][..., ::-1]  # RGB to BGR, [64, 64, 3]
    shown = cv2.resize(body[:, -8 - HEIGHT : -8], (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - view).mean() < 1
    source = frames.picture(worst.index)
    width = round(source.shape[1] * HEIGHT / source.shape[0])
    assert picture.shape[1] == width + HEIGHT + 4 * 8
    shown = cv2.resize(body[:, 8 : 8 + width], (32, 32), interpolation=cv2.INTER_AREA)
    expected_source = cv2.resize(source, (32, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(shown.astype(int) - expected_source).mean() < 3
    assert picture[: picture.shape[0] - HEIGHT].max() > 200  # writing on it


def test_views_of_several_pictures_are_laid_out() -> None:
    from export.verify.worst_frames import _as_one

    view = np.stack([np.full((4, 4, 3), level, np.uint8) for level in (10, 20, 30, 40, 50)])
    sheet = _as_one(view)
    assert sheet.shape == (8, 12, 3)
    assert [int(sheet[y, x, 0]) for y in (1, 5) for x in (1, 5, 9)] == [10, 20, 30, 40, 50, 32]


def test_a_folder_that_cannot_be_written(
    small_bundle: Bundle, frames: FrameSet, tmp_path: Path
) -> None:
    report = verify_bundle(
        small_bundle, frames=frames, precisions=["fp32"], backends=["onnxruntime"]
    )
    (tmp_path / "file").write_text("here already")
    with pytest.raises(SinkError, match="The worst frames cannot be saved"):
        save_worst_frames(report, frames, tmp_path / "file")
