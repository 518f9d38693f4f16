"""One pass over the calibration frames: what the quantised activations look like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from export.activations import iterate_activations, tensor_chunks
from export.int8.histogram import Histogram
from export.progress import Progress, silent

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from export.int8.placement import Site
    from export.reference import Inputs


@dataclass(frozen=True, slots=True)
class Channels:
    """One tensor channel by channel.

    Attributes:
        peak: Largest magnitudes [C].
        mean: Means over frames and places [C].
    """

    peak: NDArray[np.float32]
    mean: NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """What the calibration frames say of the activations.

    Attributes:
        histograms: Of magnitudes, by tensor.
        channels: By tensor, along the axis that was asked for.
    """

    histograms: Mapping[str, Histogram]
    channels: Mapping[str, Channels]


def site_statistics(
    model: onnx.ModelProto,
    sites: Sequence[Site],
    frames: Sequence[Inputs],
    progress: Progress = silent,
) -> Statistics:
    """Collect what thresholds, smoothing and bias correction of the sites need."""
    axes = {site.activation: site.channel_axis for site in sites if site.weight}
    return collect(model, frames, {site.activation for site in sites}, axes, progress=progress)


def collect(
    model: onnx.ModelProto,
    frames: Sequence[Inputs],
    tensors: Iterable[str],
    channel_axes: Mapping[str, int] = MappingProxyType({}),
    *,
    progress: Progress = silent,
) -> Statistics:
    """Run a graph on frames and look at the magnitudes of tensors.

    Memory holds a chunk of the tensors of one frame, and 32 KiB for each histogram.

    Args:
        model: The graph in float.
        frames: The calibration frames.
        tensors: Outputs of its nodes.
        channel_axes: Those of them that are wanted channel by channel, and along which axis.
        progress: Told how many frames are done.
    """
    histograms = {name: Histogram() for name in sorted(tensors)}
    channels: dict[str, _Running] = {name: _Running() for name in channel_axes}
    chunks = tensor_chunks(model, [*histograms]) if histograms else []
    done, total = 0, len(frames) * len(chunks)
    for chunk in chunks:
        for values in iterate_activations(model, frames, chunk):
            for name, array in values.items():
                histograms[name].add(array)
                if name in channels:
                    channels[name].add(np.moveaxis(array, channel_axes[name], 0))
            done += 1
            progress("calibration", done, total)
    return Statistics(histograms, {name: one.channels() for name, one in channels.items()})


class _Running:
    """Extremes and means of channels over the frames so far."""

    def __init__(self) -> None:
        self._peaks: list[NDArray[np.float32]] = []
        self._means: list[NDArray[np.float64]] = []

    def add(self, values: NDArray[np.float32]) -> None:
        """Take one frame [C, ...]."""
        rows = values.reshape(len(values), -1)
        self._peaks.append(np.abs(rows).max(axis=1))
        self._means.append(rows.mean(axis=1, dtype=np.float64))

    def channels(self) -> Channels:
        return Channels(np.max(self._peaks, axis=0), np.mean(self._means, axis=0))
