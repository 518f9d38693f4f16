"""A picture in the layouts in which cameras and decoders hand it over."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

TO_BGR = {  # OpenCV's conversions of these layouts
    "nv12": cv2.COLOR_YUV2BGR_NV12,
    "i420": cv2.COLOR_YUV2BGR_I420,
    "yuyv": cv2.COLOR_YUV2BGR_YUYV,
}


def layouts_of(bgr: Pixels) -> dict[str, Pixels]:
    """Return a picture in each layout, by the name of its pixel format.

    Args:
        bgr: uint8 [H, W, 3], sides even.

    Returns:
        bgr [H, W, 3], nv12 and i420 [H * 3 / 2, W], yuyv [H, W, 2].
    """
    height, width = bgr.shape[:2]
    i420 = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8)
    luma, chroma = i420[:height], i420[height:].reshape(2, height // 2, width // 2)
    pairs = np.stack([chroma[0], chroma[1]], axis=-1).reshape(height // 2, width)  # U V U V ...
    return {
        "bgr": bgr,
        "nv12": np.concatenate([luma, pairs]),
        "i420": i420,
        "yuyv": np.stack([luma, pairs.repeat(2, axis=0)], axis=-1),
    }
