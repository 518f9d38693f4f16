from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iqa.data.photos import read_folder
from iqa.models.glint_edge import DISTORTION_LABELS
from iqa.uncertainty.causes import GROUPS, LABELS_OF_GROUP, groups_of, membership
from iqa.uncertainty.frames import DRAW, cases, read_opinions
from iqa.uncertainty.shares import share_out
from sdk.errors import UsageError


def test_groups_hold_known_labels_once() -> None:
    labels = [label for some in LABELS_OF_GROUP.values() for label in some]
    assert tuple(LABELS_OF_GROUP) == GROUPS
    assert len(labels) == len(set(labels))
    assert set(labels) == set(DISTORTION_LABELS) - {"none", "sharpening", "corruption"}
    assert groups_of(("compression", "smoothing")).tolist() == [True, False, True, False, False]
    assert membership().sum() == len(labels)


def test_a_draw_holds_the_clean_frame_and_its_faults(photographs: Path, means: Path) -> None:
    photo, opinions = read_folder(photographs)[0], read_opinions(means)
    found = cases(photo, 0, 7, opinions)
    assert len(found) == DRAW
    assert not found[0].groups.any()
    assert found[0].opinion.mean == pytest.approx(4.62)
    assert [case.rated for case in found] == [True] * 5 + [False]
    assert all(case.image.shape == found[0].image.shape for case in found)
    assert all(not np.array_equal(case.image, found[0].image) for case in found[1:5])
    again, other = cases(photo, 0, 7, opinions), cases(photo, 1, 7, opinions)
    for one, same in zip(found, again, strict=True):
        assert np.array_equal(one.image, same.image)
    assert not np.array_equal(other[0].image, found[0].image)


def test_no_photograph_serves_twice(photographs: Path) -> None:
    shares = share_out(read_folder(photographs))
    names = [photo.path.name for some in shares.values() for photo in some]
    assert sorted(names) == [f"{number}.png" for number in range(6)]
    assert {name: len(some) for name, some in shares.items()} == {
        "fit": 2, "calibrate": 2, "report": 2,
    }  # fmt: skip
    assert share_out(read_folder(photographs)[::-1])["report"][0] == shares["report"][0]
    with pytest.raises(UsageError, match="2 photographs for training and 0 for validation"):
        share_out(shares["fit"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("std", "sd"), "no column 'std'"),
        (("\n7,3,", "\n77,3,"), "lack 1 of 125 settings, the first type 7 level 3"),
        (("4.6", "good"), "could not convert string to float: 'good'"),
    ],
)
def test_scores_that_lack_something_say_what(
    means: Path, change: tuple[str, str], reason: str
) -> None:
    means.write_text(means.read_text().replace("\r\n", "\n").replace(*change))
    with pytest.raises(UsageError, match=reason):
        read_opinions(means)
