from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iqa.scenes.labels import LIQE, as_matrix, read_scenes, scene_names
from sdk.errors import UsageError

OURS = Path(__file__).parents[3] / "docs" / "models" / "glint-edge-pictures.csv"


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_cells_hold_one_scene_several_or_none(tmp_path: Path) -> None:
    path = table(
        tmp_path / "a.csv", "file,scene\na.jpg,plant\nb.jpg,plant; animal\nc.jpg,\nd.jpg\n"
    )
    found = read_scenes([path])
    assert found == {"a.jpg": ("plant",), "b.jpg": ("plant", "animal")}
    assert scene_names(found) == ("animal", "plant")  # LIQE's order
    np.testing.assert_array_equal(
        as_matrix(list(found.values()), scene_names(found)), [[0, 1], [1, 1]]
    )


def test_scenes_of_ones_own_are_sorted() -> None:
    assert scene_names({"a": ("yard",), "b": ("gate", "animal")}) == ("animal", "gate", "yard")


def test_tables_that_contradict_each_other(tmp_path: Path) -> None:
    one = table(tmp_path / "a.csv", "file,scene\na.jpg,plant\n")
    two = table(tmp_path / "b.csv", "file,scene\na.jpg,animal\n")
    with pytest.raises(UsageError, match=r"a\.jpg are plant and in .*b\.csv animal"):
        read_scenes([one, two])


@pytest.mark.parametrize(
    ("text", "name"), [("file,kind\na.jpg,plant\n", "scene"), ("scene\n", "file"), ("", "file")]
)
def test_a_column_that_is_missing(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(UsageError, match=f"it has no column '{name}'"):
        read_scenes([table(tmp_path / "a.csv", text)])


def test_one_scene_is_nothing_to_tell_apart() -> None:
    with pytest.raises(UsageError, match="show 1 scene, 'plant'"):
        scene_names({"a": ("plant",)})


def test_our_annotation_has_one_to_three_of_liqes_scenes_for_every_photograph() -> None:
    rows = OURS.read_text(encoding="utf-8").splitlines()
    found = read_scenes([OURS])
    assert len(found) == len(rows) - 1
    assert scene_names(found) == LIQE
    assert {len(some) for some in found.values()} <= {1, 2, 3}
