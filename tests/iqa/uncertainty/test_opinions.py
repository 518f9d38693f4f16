from __future__ import annotations

from pathlib import Path

import pytest

from iqa.data.photos import read_folder
from iqa.models.glint_edge import DISTORTION_LABELS
from iqa.uncertainty.causes import GROUPS, LABELS_OF_GROUP, groups_of, membership
from iqa.uncertainty.opinions import read_opinions
from iqa.uncertainty.samples import plan_of
from iqa.uncertainty.shares import share_out
from sdk.errors import UsageError


def test_groups_hold_known_labels_once() -> None:
    labels = [label for some in LABELS_OF_GROUP.values() for label in some]
    assert tuple(LABELS_OF_GROUP) == GROUPS
    assert len(labels) == len(set(labels))
    assert set(labels) == set(DISTORTION_LABELS) - {"none", "sharpening", "corruption"}
    assert groups_of(("compression", "smoothing")).tolist() == [True, False, True, False, False]
    assert membership().sum() == len(labels)


def test_a_draw_is_labelled_with_opinions_and_causes(photographs: Path, means: Path) -> None:
    plan = plan_of(read_folder(photographs), 1, 7, read_opinions(means))
    views, labels = plan.made(0)
    assert {len(views), *map(len, labels.values())} == {6}
    assert labels["rated"] == [True] * 5 + [False]
    assert labels["opinion"][0] == pytest.approx(25 * 3.62)
    assert labels["deviation"] == pytest.approx([0.2 * 25] * 5 + [0])
    assert not labels["groups"][0].any()


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
    means.write_text(means.read_text().replace(*change))
    with pytest.raises(UsageError, match=reason):
        read_opinions(means)
