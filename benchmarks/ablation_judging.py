"""Validation photographs that the variants of the ablation are judged on, and the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.ablation_taps import compiled_stages, stride16
from iqa.bootstrap import intervals, resamples
from iqa.data.features import CHUNK as STAGE_CHUNK
from iqa.data.features import SHAPES, compiled_trunk
from iqa.data.store import views_of
from iqa.models.glint_edge import GlintEdge
from iqa.qfm.comparison import figures_of
from iqa.qfm.token_store import Plan
from iqa.training.networks import GlintEdgeNetwork
from iqa.whole_file import whole_file

CHUNK = 16
FIGURES = ("srocc", "spread", "relative_spread")
Scores = NDArray[np.float64]  # [photographs, settings], 0-100


class Judged:
    """Validation photographs under the judged settings, as the trunk's outputs.

    Args:
        folder: Where they are kept.
        plan: Which frames.
        model: With ImageNet's weights.
    """

    def __init__(self, folder: Path, plan: Plan, model: GlintEdge) -> None:
        self.photos = len(plan.photos)
        path = folder / f"judged-{plan.identity()[:12]}.npz"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            features = _features(plan, model)
            with whole_file(path) as stream:
                np.savez(stream, **features)
        found = np.load(path)
        self.maps = {name: found[name] for name in found.files}

    @torch.inference_mode()
    def scores(self, model: GlintEdge, network: GlintEdgeNetwork, names: Sequence[str]) -> Scores:
        """What a model says of each: in bf16, but for the head, where near scores would be ties.

        Args:
            model: Of the network.
            network: How to feed it.
            names: Of the maps that it takes.
        """
        maps, found = [self.maps[name] for name in names], []
        for first in range(0, len(maps[0]), CHUNK):
            chunk = [torch.from_numpy(m[first : first + CHUNK]) for m in maps]
            inputs = network.inputs(model, chunk)
            with torch.autocast("cpu", torch.bfloat16):
                feature = model.features(*inputs)
            logit = model.quality(model.hidden(feature.float()))[:, 0]
            found.append(100 * torch.sigmoid(logit).double().numpy())
        return np.concatenate(found).reshape(self.photos, -1)


def _frames(plan: Plan, photo: int) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    return [views_of(frame) for frame in plan.frames(photo, plan.clean(photo))]


def _features(plan: Plan, model: GlintEdge) -> dict[str, NDArray[np.float16]]:
    trunk, stages = compiled_trunk(model), compiled_stages(model)
    found: dict[str, list[NDArray[np.float16]]] = {name: [] for name in SHAPES}
    photos = track(range(len(plan.photos)), "judged frames")
    for frames in (_frames(plan, photo) for photo in photos):
        for first in range(0, len(frames), CHUNK):
            fragments, resize = (
                np.stack(views) for views in zip(*frames[first : first + CHUNK], strict=True)
            )
            local4, local8 = trunk(fragments)
            for name, value in zip(SHAPES, (local4, local8, trunk(resize)[1]), strict=True):
                found[name].append(value.transpose(0, 2, 3, 1).astype(np.float16))
    maps = {name: np.concatenate(values) for name, values in found.items()}
    for branch in ("local", "context"):
        stride8 = maps[f"{branch}8"]
        maps[f"{branch}16"] = stride16(stages, stride8, range(0, len(stride8), STAGE_CHUNK))
    return maps


def figures(
    cubes: Mapping[str, Scores], opinions: NDArray[np.float64], against: str
) -> dict[str, dict[str, Any]]:
    """Means over seeds of each figure, and of its difference from ``against``, with intervals.

    Photographs are drawn, the same ones for all; seeds are averaged, and ``by_seed`` shows them.

    Args:
        cubes: ``[seeds, photographs, settings]`` by name.
        opinions: ``[settings]``.
        against: The name that the others are compared with.
    """

    def of(cube: Scores, photos: NDArray[np.intp]) -> NDArray[np.float64]:
        still = np.zeros_like(cube[0])
        found = [figures_of(scores[photos], still, opinions) for scores in cube]
        return np.array([[one[name] for name in FIGURES] for one in found])  # [seeds, figures]

    def values(photos: NDArray[np.intp]) -> list[float]:
        means = {name: of(cube, photos).mean(axis=0) for name, cube in cubes.items()}
        single = [v for mean in means.values() for v in mean]
        return single + [v for mean in means.values() for v in mean - means[against]]

    everyone = np.arange(next(iter(cubes.values())).shape[1])
    rows = list(zip(values(everyone), intervals(values, resamples(len(everyone), 0)), strict=True))
    half, out = len(rows) // 2, {}
    for place, (name, cube) in enumerate(cubes.items()):
        by_seed = of(cube, everyone)
        out[name] = {
            figure: {
                "value": rows[at][0],
                "interval95": list(rows[at][1]),
                "by_seed": by_seed[:, column].tolist(),
                "difference": rows[half + at][0],
                "difference95": list(rows[half + at][1]),
            }
            for column, figure in enumerate(FIGURES)
            for at in [place * len(FIGURES) + column]
        }
    return out
