from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from iqa.data.photos import read_folder
from iqa.scenes.samples import plan_of
from iqa.second_stage.samples import frames_of


def test_a_draw_holds_the_clean_frame_and_its_faults(photographs: Path) -> None:
    photo = read_folder(photographs)[0]
    found = frames_of(photo, 0, 7, rated=4)
    assert [bool(frame.setting) for frame in found] == [False] + [True] * 4 + [False]
    assert [bool(frame.fault) for frame in found] == [False] * 5 + [True]
    assert [bool(frame.causes) for frame in found] == [False] + [True] * 5
    assert all(frame.image.shape == found[0].image.shape for frame in found)
    assert all(not np.array_equal(frame.image, found[0].image) for frame in found[1:5])
    for one, same in zip(found, frames_of(photo, 0, 7, rated=4), strict=True):
        assert np.array_equal(one.image, same.image)
    assert not np.array_equal(frames_of(photo, 1, 7, rated=4)[0].image, found[0].image)


def test_other_processes_make_the_same_draws(photographs: Path) -> None:
    plan = plan_of(read_folder(photographs), 2, 0)
    (views, labels), (same, told) = plan.made(3), pickle.loads(pickle.dumps(plan)).made(3)
    assert labels == told
    assert labels["content"] == ["1.png"] * 4
    assert np.array_equal(views, same)
