"""One pass over the calibration frames: what the quantised activations look like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from export.activations import iterate_activations
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

    Memory holds the tensors of one frame, and 32 KiB for each histogram.

    Args:
        model: The graph in float.
        frames: The calibration frames.
        tensors: Outputs of its nodes.
        channel_axes: Those of them that are wanted channel by channel, and along which axis.
        progress: Told how many frames are done.
    """
    histograms = {name: Histogram() for name in sorted(tensors)}
    peaks: dict[str, list[NDArray[np.float32]]] = {name: [] for name in channel_axes}
    means: dict[str, list[NDArray[np.float64]]] = {name: [] for name in channel_axes}
    if not histograms:
        return Statistics({}, {})
    for done, values in enumerate(iterate_activations(model, frames, [*histograms]), start=1):
        for name, array in values.items():
            histograms[name].add(array)
            if name in channel_axes:
                rows = np.moveaxis(array, channel_axes[name], 0).reshape(
                    array.shape[channel_axes[name]], -1
                )  # [C, places]
                peaks[name] = [np.abs(rows).max(axis=1, initial=0), *peaks[name]]
                peaks[name] = [np.maximum.reduce(peaks[name])]
                means[name].append(rows.mean(axis=1, dtype=np.float64))
        progress("calibration", done, len(frames))
    channels = {name: Channels(peaks[name][0], np.mean(means[name], axis=0)) for name in peaks}
    return Statistics(histograms, channels)
