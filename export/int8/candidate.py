"""One way to quantise a graph, and quantised graphs made by it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.drift import Drift, measure_drift
from export.int8.correct_bias import correct_biases
from export.int8.emulate import emulate_scores
from export.int8.quantise import quantise

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from export.int8.calibrate import Channels
    from export.int8.placement import Site
    from export.int8.ranges import Calibrator
    from export.reference import Inputs


@dataclass(frozen=True)
class Candidate:
    """A graph with everything that quantising any of its sites takes.

    Attributes:
        model: The graph in float, smoothed or not.
        sites: Where it can be quantised.
        thresholds: By activation.
        channels: Of the activations, for the biases.
        calibrator: Where the thresholds come from.
        smoothed: The linear layers whose inputs were smoothed.
        weight_bits: 8 or 7.
    """

    model: onnx.ModelProto
    sites: tuple[Site, ...]
    thresholds: Mapping[str, float]
    channels: Mapping[str, Channels]
    calibrator: Calibrator
    smoothed: tuple[str, ...]
    weight_bits: int

    @property
    def units(self) -> tuple[str, ...]:
        """What can be left in float by itself: the convolutions and linear layers."""
        return tuple(dict.fromkeys(site.unit for site in self.sites))

    def quantised(self, units: Collection[str]) -> onnx.ModelProto:
        """The graph with some of its units in INT8."""
        chosen = [site for site in self.sites if site.unit in units]
        corrected = correct_biases(self.model, chosen, self.channels, weight_bits=self.weight_bits)
        return quantise(corrected, chosen, self.thresholds, weight_bits=self.weight_bits)


@dataclass(frozen=True)
class Judge:
    """Frames that candidates are judged on.

    Attributes:
        frames: The frames.
        reference: What the graph in float scores them [F].
        groups: A group for each.
    """

    frames: Sequence[Inputs]
    reference: NDArray[np.float64]
    groups: Sequence[str]

    def drift(self, model: onnx.ModelProto) -> Drift:
        """Score the frames with a quantised graph and compare."""
        scores = emulate_scores(model, self.frames)
        return measure_drift(self.reference, scores, groups=self.groups)

    def first(self, count: int) -> Judge:
        """A judge with the first frames; frame sets deal groups and contents in turn."""
        return Judge(self.frames[:count], self.reference[:count], self.groups[:count])
