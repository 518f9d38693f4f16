from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdk import engines
from sdk.bundle import Bundle
from sdk.engines import Engines, same_outputs
from sdk.errors import BackendError


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


def test_wide_engine_is_built_once_and_agrees(bundle: Bundle) -> None:
    both = Engines(bundle, "openvino", "fp32", 2)
    assert both.wide() is both.wide()
    assert (both.single.lanes, both.wide().lanes) == (1, 2)
    assert same_outputs(both.single, both.wide(), bundle)


def test_one_thread_needs_no_second_engine(bundle: Bundle) -> None:
    both = Engines(bundle, "openvino", "fp32", 1)
    assert both.wide() is both.single


def test_lanes_are_bounded(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "MAX_LANES", 3)
    assert Engines(bundle, "openvino", "fp32", 5).wide().lanes == 3


def test_engine_that_disagrees_in_a_bit_is_not_used(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if this CPU's kernels summed in another order with fewer threads."""
    both = Engines(bundle, "openvino", "fp32", 2)
    create = engines.create_backend

    def create_with_last_bit_flipped(*args: object, **options: object) -> object:
        backend = create(*args, **options)  # type: ignore[arg-type]
        infer = backend.infer

        def flipped(inputs: object) -> dict[str, object]:
            outputs = infer(inputs)  # type: ignore[arg-type]
            return {**outputs, "score": np.nextafter(outputs["score"], np.float32(999))}

        backend.infer = flipped  # type: ignore[assignment, method-assign]
        return backend

    monkeypatch.setattr(engines, "create_backend", create_with_last_bit_flipped)
    assert both.wide() is both.single


def test_container_quota_bounds_the_threads(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "usable_cpus", lambda: 64)
    monkeypatch.setattr(engines, "quota_cpus", lambda: 2)
    assert Engines(bundle, "openvino", "fp32", None).wide().lanes == 2
    assert Engines(bundle, "openvino", "fp32", 3).wide().lanes == 3


def test_closed_engines_refuse(bundle: Bundle) -> None:
    both = Engines(bundle, "openvino", "fp32", 2)
    wide = both.wide()
    both.close()
    both.close()
    with pytest.raises(BackendError, match="This Scorer is closed"):
        both.wide()
    for engine in (both.single, wide):
        with pytest.raises(BackendError, match="closed"):
            engine.infer(next(bundle.golden.frames()))
