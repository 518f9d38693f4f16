from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from iqa.saqt.scores import read_scores
from iqa.saqt.tables import MATCH_COLUMNS, write_table
from iqa.training.places import Places, open_sources
from iqa.training.recipe import Transfer
from iqa.training.takes import Takes
from sdk.errors import UsageError

from ..test_saqt import write_kadid_scores, write_pictures

SETTINGS = 125
DATA = Transfer(val_share=0.3, val_pictures=5, flips="")
TAKES = Takes(["resize:32x32"])


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Four photographs, three of them matched: b, d and a, in this order."""
    photos = write_pictures(tmp_path / "photos", [f"{name}.png" for name in "abcd"])
    scores = write_kadid_scores(tmp_path / "dmos.csv")
    rows = [("b", 1, "I03", 0.75), ("d", 1, "I01", 0.5), ("a", 1, "I02", 1)]
    write_table(tmp_path / "matches.csv", MATCH_COLUMNS, rows)
    return Places(tmp_path, photos=[photos], matches=tmp_path / "matches.csv", scores=scores)


def test_labels_of_the_matched_references_reach_training(places: Places) -> None:
    train, val, *_ = open_sources(DATA, places, TAKES, seed=1)
    assert len(train) == 2 * SETTINGS
    assert len(val) == 5
    photographs = {number // SETTINGS for number in train.numbers}
    assert photographs.isdisjoint({number // SETTINGS for number in val.numbers})
    rated = read_scores(places.scores).rescaled().values
    reference = {"b": 2, "d": 0, "a": 1}
    picture = train.samples.pictures[train.numbers[7] // SETTINGS].name
    rows = train.unit(7, epoch=0)
    expected = rated[reference[picture]].ravel()[7] / 9
    assert rows.target == pytest.approx([expected])
    assert np.array_equal(rows.inputs[0], train.unit(7, epoch=0).inputs[0])


def test_what_is_missing_is_named(places: Places, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kind transfer, which needs --matches"):
        open_sources(DATA, replace(places, matches=None), TAKES, seed=1)
    (tmp_path / "photos/d.png").unlink()
    with pytest.raises(UsageError, match="1 of 3 pictures of the list are missing: d"):
        open_sources(DATA, places, TAKES, seed=1)
