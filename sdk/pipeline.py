"""What happens to one frame: views gathered, network run, outputs read, time taken."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from sdk.postprocess import read_outputs
from sdk.results import FrameScore, Latency

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sdk.backends.base import Backend
    from sdk.bundle import Bundle
    from sdk.calibration import Calibration
    from sdk.frames import Frame


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frame whose views are gathered; its own pixels may go.

    Attributes:
        index: `Frame.index`.
        pts_s: `Frame.pts_s`.
        source: `Frame.source`.
        dropped: `Frame.dropped`.
        inputs: uint8 [N, H, W, 3] RGB by the name of the network's input.
        waited_s: From decoding to preparation, 0 where unknown.
        pre_s: What the preparation took.
        ready_at: `time.perf_counter()` when it was done.
    """

    index: int
    pts_s: float | None
    source: str
    dropped: int
    inputs: dict[str, NDArray[np.uint8]]
    waited_s: float
    pre_s: float
    ready_at: float


def prepare(bundle: Bundle, frame: Frame, started: float) -> Prepared:
    """Gather the views that a bundle's network takes.

    Args:
        bundle: The model.
        frame: The frame.
        started: `time.perf_counter()` when the frame was taken up.

    Raises:
        FrameError: The frame is too small for a view.
    """
    inputs = {name: view.apply(frame) for name, view in bundle.views.items()}
    waited = 0.0 if frame.captured_at is None else max(0.0, started - frame.captured_at)
    done = perf_counter()
    return Prepared(
        frame.index, frame.pts_s, frame.source, frame.dropped, inputs, waited, done - started, done
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """How a network's outputs become a result.

    Attributes:
        bundle: The model.
        model_id: Its identity in results.
        calibration: What maps its scores to a site, if anything.
        features: Results carry the features.
    """

    bundle: Bundle
    model_id: str
    calibration: Calibration | None = None
    features: bool = False


def finish(reading: Reading, engine: Backend, frame: Prepared) -> FrameScore:
    """Run the network on a prepared frame.

    Args:
        reading: The model, and how its outputs are read.
        engine: Its network.
        frame: The frame.

    Raises:
        BackendError: The network failed, or computed something that is not finite.
    """
    inferring = perf_counter()
    outputs = engine.infer(frame.inputs)
    inferred = perf_counter()
    label = f"frame {frame.index} of {frame.source or 'the input'}"
    manifest = reading.bundle.manifest
    quality = read_outputs(outputs, manifest, label)
    if reading.calibration is not None:
        quality = reading.calibration.apply(quality, manifest)
    if not reading.features:
        quality = quality._replace(features=None)
    latency = Latency(
        queue=(frame.waited_s + inferring - frame.ready_at) * 1e3,
        pre=frame.pre_s * 1e3,
        infer=(inferred - inferring) * 1e3,
        post=(perf_counter() - inferred) * 1e3,
    )
    return FrameScore(
        **quality._asdict(),
        frame_index=frame.index,
        pts_s=frame.pts_s,
        latency=latency,
        model=reading.model_id,
        backend=engine.name,
        precision=engine.precision,
        source=frame.source,
        dropped=frame.dropped,
    )
