"""Two engines of one network, run against each other on this machine's GPU.

The part that runs has never run: where it was written there was no GPU. What is decided from its
figures is `export.engine.choose`, which is tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from export.drift import TOLERANCES
from export.engine.choose import Choice, choose_attention
from export.engine.job import Measured, Trial
from export.engine.launch import run_trial as launch_trial
from export.engine.loaded import LoadedEngine
from export.engine.options import NATIVE
from export.engine.plan import Engine
from export.progress import Progress
from sdk.bundle import Bundle
from sdk.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def choose_engine(bundle: Bundle, native: Engine, fused: Engine, progress: Progress) -> Choice:
    """Score the golden frames with both engines, time both, and choose.

    Args:
        bundle: The model.
        native: Its engine with TensorRT's attention.
        fused: Its engine with ours, of the same precision.
        progress: Told what is being done.

    Raises:
        BackendError: The native engine does not run.
    """
    first = measure(bundle, native, progress)
    try:
        second = measure(bundle, fused, progress)
    except BackendError as error:
        return Choice(NATIVE, f"the engine with our attention does not run: {error.message}")
    tolerance = TOLERANCES[native.precision]
    return choose_attention(bundle.golden.score, first, second, tolerance)


def measure(bundle: Bundle, engine: Engine, progress: Progress) -> Measured:
    """Score the golden frames with an engine and time it, in a process of its own.

    Raises:
        BackendError: It does not run.
    """
    frames = enumerate(bundle.golden.frames())
    arrays = {f"{i}/{name}": array for i, frame in frames for name, array in frame.items()}
    with TemporaryDirectory(prefix="framescore-") as folder:
        files = {name: Path(folder) / name for name in ("frames.npz", "engine.plan", "trial.log")}
        write_frames(files["frames.npz"], arrays)
        files["engine.plan"].write_bytes(engine.plan)
        trial = Trial(
            backend=engine.backend,
            plan=str(files["engine.plan"]),
            tensors=engine.info.built.tensors,
            frames=str(files["frames.npz"]),
            log=str(files["trial.log"]),
        )
        return launch_trial(trial, progress)


def write_frames(path: Path, arrays: Mapping[str, NDArray[np.uint8]]) -> None:
    """Write frames for `read_frames`: arrays called "NUMBER/INPUT"."""
    np.savez(path, allow_pickle=False, **arrays)


def read_frames(path: Path) -> list[dict[str, NDArray[np.uint8]]]:
    """Read frames in their order."""
    found: dict[int, dict[str, NDArray[np.uint8]]] = {}
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            number, _, tensor = name.partition("/")
            found.setdefault(int(number), {})[tensor] = file[name]
    return [found[number] for number in sorted(found)]


def run_trial(trial: Trial) -> Measured:
    """Run a trial in this process; the launcher starts one for it.

    Raises:
        BackendError: The engine does not run.
    """
    frames = read_frames(Path(trial.frames))
    with Path(trial.log).open("a", encoding="utf-8", errors="backslashreplace") as log:
        plan = Path(trial.plan).read_bytes()
        loaded = LoadedEngine(trial.backend, plan, trial.tensors, log)
        scores = tuple(float(loaded.infer(frame)["score"].flat[0]) for frame in frames)
        times = tuple(loaded.time_graph(trial.runs, trial.warm_up))
        loaded.close()
    return Measured(scores=scores, milliseconds=times)
