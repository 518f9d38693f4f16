"""The two forms in which a scorer holds its network: for one frame, and for many at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np

from sdk.backends.registry import create_backend
from sdk.cpus import quota_cpus, usable_cpus
from sdk.errors import BackendError

if TYPE_CHECKING:
    from sdk.backends.base import Backend
    from sdk.bundle import Bundle

MAX_LANES: Final = 16  # each has its own activations; further threads are shared out among them
_COMPARED: Final = 2  # golden frames


class Engines:
    """A network compiled for latency, and on demand a second time for throughput.

    `single` puts all threads on one frame. `wide` gives every frame about one thread and computes
    several at a time: on two idle cores a tenth more frames a second, on more cores or busy ones
    a multiple, because threads on one frame wait for each other after every layer.

    Args:
        bundle: The model.
        backend: Name of the backend, or "auto".
        precision: Name of the precision, or "auto".
        threads: CPU threads to use; None for all that this process may use.
        features: Return the output `features` as well, where the model has it.

    Raises:
        BundleError: The network does not fit its manifest.
        BackendError: The backend is not installed, or cannot run the model in that precision.
        UsageError: An unknown backend or precision, or threads outside 1 to 1024.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: str,
        precision: str,
        threads: int | None,
        *,
        features: bool = False,
    ) -> None:
        self._bundle = bundle
        self._features = features
        self._threads = _within_quota() if threads is None else threads
        self.single = create_backend(bundle, backend, precision, self._threads, features=features)
        self._wide: Backend | None = None
        self._lock = threading.Lock()
        self.closed = False

    def wide(self) -> Backend:
        """Return the engine for many frames; it is `single` where a second one gains nothing.

        Raises:
            BackendError: The engines are closed.
        """
        with self._lock:
            self.check_open()
            if self._wide is None:
                self._wide = self._open_wide()
            return self._wide

    def check_open(self) -> None:
        """Refuse to work after `close`.

        Raises:
            BackendError: The engines are closed.
        """
        if self.closed:
            raise BackendError("This Scorer is closed.", hint="Create a new Scorer.")

    def close(self) -> None:
        """Release both; frames under way finish. May be called twice."""
        with self._lock:
            self.closed = True
            self.single.close()
            if self._wide is not None:
                self._wide.close()

    def _open_wide(self) -> Backend:
        lanes = min(self._threads or usable_cpus(), MAX_LANES)
        if lanes == 1:
            return self.single
        wide = create_backend(
            self._bundle,
            self.single.name,
            self.single.precision,
            self._threads,
            lanes,
            features=self._features,
        )
        if same_outputs(self.single, wide, self._bundle):
            return wide
        # It sums in another order on this machine: a batch would score a frame differently.
        wide.close()
        return self.single


def same_outputs(one: Backend, other: Backend, bundle: Bundle) -> bool:
    """Whether two engines agree to the last bit on the first golden frames."""
    for inputs, _ in zip(bundle.golden.frames(), range(_COMPARED), strict=False):
        expected, found = one.infer(inputs), other.infer(inputs)
        if any(not np.array_equal(expected[name], found[name]) for name in expected):
            return False
    return True


def _within_quota() -> int | None:
    """A container's CPU quota where it is tighter than the CPUs that runtimes count."""
    quota = quota_cpus()
    return quota if quota is not None and quota < usable_cpus() else None
