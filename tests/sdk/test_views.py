from __future__ import annotations

import numpy as np
import pytest

from sdk import preprocess
from sdk.errors import BundleError, FrameError
from sdk.frames import as_frame
from sdk.views import View


def picture(height: int = 300, width: int = 400) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("fragments:7x32", (1, 224, 224, 3)),
        ("fragments:1x16", (1, 16, 16, 3)),
        ("resize:224x224", (1, 224, 224, 3)),
        ("resize:120x200", (1, 120, 200, 3)),
        ("crops:5x5@224", (25, 224, 224, 3)),
        ("crops:1x1@64", (1, 64, 64, 3)),
    ],
)
def test_spec_round_trips_and_shapes_the_result(spec: str, shape: tuple[int, ...]) -> None:
    view = View.parse(spec)
    assert view.spec == spec
    assert view.shape == shape
    assert view.apply(as_frame(picture())).shape == shape


@pytest.mark.parametrize(
    "spec",
    ["", "fragments", "fragments:7", "Resize:224x224", "resize:224x224 ", "resize:-1x4",
     "crops:5x5", "zoom:2x2", "resize:999999x1", "fragments:7x32@4"],
)  # fmt: skip
def test_unknown_specs_are_refused_with_what_is_allowed(spec: str) -> None:
    with pytest.raises(BundleError, match="allowed are fragments:GRIDxPATCH"):
        View.parse(spec)


@pytest.mark.parametrize(
    "spec", ["fragments:0x32", "fragments:7x0", "resize:0x224", "crops:5x5@0", "crops:0x0@8"]
)
def test_zero_sizes_are_refused(spec: str) -> None:
    with pytest.raises(BundleError, match="each number must be 1 to"):
        View.parse(spec)


@pytest.mark.parametrize("spec", ["resize:16384x16384", "fragments:999x999", "crops:99x99@999"])
def test_absurd_sizes_are_refused_before_any_memory_is_taken(spec: str) -> None:
    with pytest.raises(BundleError, match="manifest is damaged"):
        View.parse(spec)


def test_crops_must_be_square() -> None:
    with pytest.raises(BundleError, match="5x4 grid; it must be square"):
        View.parse("crops:5x4@64")


def test_apply_computes_what_preprocess_defines() -> None:
    frame = as_frame(picture())
    rgb = preprocess.to_rgb(frame)
    assert np.array_equal(View.parse("fragments:5x32").apply(frame)[0],
                          preprocess.fragments(rgb, 5, 32))  # fmt: skip
    assert np.array_equal(View.parse("resize:64x96").apply(frame)[0],
                          preprocess.resize(rgb, 64, 96))  # fmt: skip
    assert np.array_equal(View.parse("crops:3x3@64").apply(frame), preprocess.crops(rgb, 3, 64))


def test_apply_fills_the_array_it_is_given() -> None:
    view, frame = View.parse("resize:64x64"), as_frame(picture())
    out = np.zeros(view.shape, np.uint8)
    assert view.apply(frame, out) is out
    assert np.array_equal(out, view.apply(frame))


def test_apply_refuses_an_array_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \[1, 64, 64, 3\]"):
        View.parse("resize:64x64").apply(as_frame(picture()), np.zeros((64, 64, 3), np.uint8))


def test_apply_leaves_the_frame_as_it_was() -> None:
    image = picture()
    before = image.copy()
    for spec in ("fragments:7x32", "resize:224x224", "crops:2x2@64"):
        View.parse(spec).apply(as_frame(image))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("spec", ["crops:5x5@224", "fragments:3x64"])
def test_a_frame_smaller_than_a_window_is_refused(spec: str) -> None:
    with pytest.raises(FrameError, match=f"40x50 is too small for the view {spec}"):
        View.parse(spec).apply(as_frame(picture(50, 40)))
