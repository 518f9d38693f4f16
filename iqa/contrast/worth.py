"""What a network's feature is worth on pictures that a few people rated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from iqa.contrast.probe import Floats, out_of_fold
from iqa.metrics import srocc
from iqa.saqt.pictures import Picture
from iqa.training.takes import Takes
from sdk.calibration.site import SiteLabels


@torch.inference_mode()
def features_of(
    model: nn.Module, encode: Callable[[Any], Tensor], takes: Takes, paths: Sequence[Path]
) -> Floats:
    """Features ``[N, D]`` of pictures as they are seen at run time, the mean over crops."""
    training = model.training
    model.eval()
    out = []
    for path in paths:
        views = takes.grid(Picture(path.stem, path).read())
        out.append(encode([torch.from_numpy(np.array(v)) for v in views]).mean(dim=0).numpy())
    model.train(training)
    return np.stack(out).astype(np.float64)


def worth(features: Floats, site: SiteLabels) -> float:
    """SROCC of a ridge regression's predictions for contents that were left out of it."""
    opinions = np.asarray(site.shares, np.float64)
    contents = site.contents or [str(path) for path in site.paths]
    return srocc(out_of_fold(features, opinions, contents), opinions)
