from __future__ import annotations

import numpy as np
import pytest

from iqa.contrast.frames import CLEAN, KADID, SYNTHETIC, Frames, halved, synthetic
from iqa.distortions.kadid import distort, to_bytes
from iqa.training.takes import Takes
from tests.iqa.conftest import scene

VIEWS = ("fragments:7x32", "resize:224x224")


class Held:
    """A picture that lies in memory."""

    def __init__(self, seed: int) -> None:
        self.rgb = to_bytes(scene(seed, 150, 200))

    def read(self) -> np.ndarray:
        return self.rgb


@pytest.fixture
def frames() -> Frames:
    clean, own = [Held(n) for n in range(3)], [Held(n + 10) for n in range(2)]
    return Frames(clean, own, Takes(VIEWS), seed=3, classes=4, each=2, real=5)


def test_a_batch_has_its_classes_twice_and_each_real_frame_once(frames: Frames) -> None:
    labels = [frames.label(7, place) for place in range(len(frames))]
    assert len(labels) == 4 * 2 + 2  # of five wanted there are two
    assert labels[0] == labels[1] != labels[2]
    assert len(set(labels)) == 4 + 2
    assert sorted(labels[8:]) == [SYNTHETIC, SYNTHETIC + 1]
    assert [frames.label(8, place) for place in range(len(frames))] != labels


def test_a_pair_is_decided_by_step_and_place(frames: Frames) -> None:
    first, again, other = frames.pair(0, 0), frames.pair(0, 0), frames.pair(0, 1)
    assert first.label == again.label == other.label
    for one, same in zip(first.views, again.views, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert [view.shape for view in first.views[0]] == [(1, 224, 224, 3)] * 2
    assert not np.array_equal(first.views[0][0], first.views[1][0])
    assert not np.array_equal(first.views[0][0], other.views[0][0])


def test_a_real_frame_is_left_as_it_is(frames: Frames) -> None:
    found = frames.pair(0, 8)
    rgb = frames.footage[found.label - SYNTHETIC].read()
    seen = [view[0] for view in found.views]
    wanted = [frames.takes.grid(np.ascontiguousarray(r))[0] for r in (rgb, rgb[:, ::-1])]
    assert any(np.array_equal(s, w) for s in seen for w in wanted)


def test_classes_are_types_and_levels() -> None:
    image = scene(4)
    assert np.array_equal(synthetic(image, CLEAN, np.random.default_rng(0)), image)
    for label, kind, level in ((1, 1, 1), (5, 1, 5), (6, 2, 1), (KADID, 25, 5)):
        made = synthetic(image, label, np.random.default_rng(0))
        assert np.array_equal(made, distort(image, kind, level, np.random.default_rng(0)))
    last = synthetic(image, SYNTHETIC - 1, np.random.default_rng(0))
    first = synthetic(image, SYNTHETIC - 5, np.random.default_rng(0))
    assert np.abs(last - image).mean() > np.abs(first - image).mean()  # the same fault, stronger


def test_small_frames_are_not_halved() -> None:
    assert halved(np.zeros((150, 200, 3), np.uint8)).shape == (75, 100, 3)
    assert halved(np.zeros((120, 300, 3), np.uint8)).shape == (120, 300, 3)
