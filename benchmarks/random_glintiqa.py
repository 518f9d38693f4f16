"""GlintIQA with random weights, for figures of drift and latency until trained ones can be had.

    python benchmarks/precisions.py glintiqa-random --out FILE

A random network answers almost the same to every picture, and then no precision would drift. So its
batch norms measure these pictures, and its head is fitted to spread their scores from 20 to 80.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from export.convention import ImageConvention
from export.frame_set import collect_frames
from iqa.models import glintiqa
from sdk.views import View
from tests.export.zoo import Entry
from tests.export.zoo import build as build_fitted

PICTURES = 12


def build() -> nn.Module:
    """The network, the same on every call."""
    frames = collect_frames(None, {"image": View.parse("crops:1x1@224")}, PICTURES, seed=7)
    convention = ImageConvention(mean=glintiqa.MEAN, std=glintiqa.STD)
    shown: list[Tensor] = [
        torch.from_numpy(convention.pixels(np.asarray(inputs["image"]), channels_first=True))
        for inputs in frames.inputs
    ]
    return build_fitted(Entry(glintiqa.build), shown)
