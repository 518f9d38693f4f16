"""The decision on precision, with backends whose drift is known.

No machine that runs the tests is sure to compute in bf16, so these backends add a chosen error to
the golden scores instead.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sdk.backends.base import Backend, BackendOptions
from sdk.bundle import Bundle
from sdk.errors import BackendError
from sdk.precision import golden_drift, open_with_precision

from .tiny_model import tiny_score


class Drifting:
    """The tiny model with an error on the brightest frame."""

    name = "drifting"
    device = "paper"
    lanes = 1

    def __init__(self, precision: str, error: float) -> None:
        self.precision = precision
        self._error = error
        self.closed = False

    def infer(self, inputs: Mapping[str, NDArray[np.uint8]]) -> dict[str, NDArray[np.float32]]:
        score = tiny_score(dict(inputs))
        return {"score": np.array([score + self._error if score > 40 else score], np.float32)}

    def close(self) -> None:
        self.closed = True


class Machine:
    """A backend module for a machine with given precisions and drifts."""

    def __init__(self, **drifts: float) -> None:
        self._drifts = drifts
        self.opened: list[Drifting] = []

    def precisions(self) -> tuple[str, ...]:
        return tuple(self._drifts)

    def open_backend(self, bundle: Bundle, options: BackendOptions) -> Backend:
        assert bundle.manifest.id == "tiny"
        assert options.threads == 3
        self.opened.append(Drifting(options.precision, self._drifts[options.precision]))
        return self.opened[-1]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


def chosen(machine: Machine, bundle: Bundle, precision: str = "auto") -> str:
    return open_with_precision(machine, bundle, precision, BackendOptions(threads=3)).precision


def test_drift_is_the_largest_over_all_golden_frames(bundle: Bundle) -> None:
    assert golden_drift(Drifting("fp32", 0.0), bundle) < 1e-4
    assert golden_drift(Drifting("bf16", -0.25), bundle) == pytest.approx(0.25, abs=1e-4)


def test_auto_without_bf16_is_fp32(bundle: Bundle) -> None:
    assert chosen(Machine(fp32=0.0), bundle) == "fp32"


@pytest.mark.parametrize(
    ("drift", "precision"),
    [
        (0.0, "bf16"),
        (0.49, "bf16"),
        (-0.49, "bf16"),
        (0.51, "fp32"),
        (-9, "fp32"),
        (np.nan, "fp32"),
    ],
)
def test_auto_takes_bf16_only_where_scores_stay(
    bundle: Bundle, drift: float, precision: str
) -> None:
    machine = Machine(bf16=drift, fp32=0.0)
    assert chosen(machine, bundle) == precision
    assert [backend.closed for backend in machine.opened] == [True, False][-len(machine.opened) :]


def test_auto_where_nothing_is_left(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="No precision of fp16, bf16 keeps the scores of tiny"):
        chosen(Machine(fp16=3.0, bf16=3.0), bundle)


def test_explicit_precision_that_is_missing_names_those_there(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=r"bf16 is not supported .* supported: fp32"):
        chosen(Machine(fp32=0.0), bundle, "bf16")


@pytest.mark.parametrize(("drift", "warnings"), [(0.1, 0), (2.0, 1), (np.nan, 1)])
def test_explicit_precision_is_taken_with_a_warning_if_it_drifts(
    bundle: Bundle, caplog: pytest.LogCaptureFixture, drift: float, warnings: int
) -> None:
    with caplog.at_level(logging.WARNING):
        assert chosen(Machine(bf16=drift, fp32=0.0), bundle, "bf16") == "bf16"
    assert len(caplog.records) == warnings
