from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iqa.data.store import Store
from iqa.data.synthesis import GROUP
from iqa.training.places import Places, open_sources
from iqa.training.recipe import Recipe, Views
from iqa.training.redraw import Redraw, mirrored, picture_of, shuffled, tiles_of, window
from iqa.training.run import Run
from iqa.training.sources import ViewsSource
from iqa.training.takes import Takes
from sdk.errors import SourceError, UsageError

from .conftest import rng

KINDS, ROWS, SIDE = 3, 12, 224  # row r has label r % 3; every pixel of its views is r


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Frames that say which they are; nobody rated the last group."""
    kinds = np.arange(ROWS) % KINDS
    for split in ("train", "val"):
        folder = tmp_path / split
        folder.mkdir()
        frames = np.arange(ROWS, dtype=np.uint8)[:, None, None, None]
        for name in ("fragments", "resize"):
            np.save(folder / f"{name}.npy", np.tile(frames, (1, SIDE, SIDE, 3)))
        np.savez(
            folder / "labels.npz",
            mos=np.float32(1 + kinds),
            weight=np.where(np.arange(ROWS) < ROWS - GROUP, 1, 0.25).astype(np.float32),
            causes=np.eye(12, dtype=np.float32)[kinds],
        )
    return Store.open(tmp_path / "train")


def test_fragments_stay_whole_and_none_is_lost() -> None:
    picture = rng().integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    assert np.array_equal(picture_of(tiles_of(picture)), picture)
    before = tiles_of(picture)
    after = shuffled(before.copy(), rng(1))
    ways = [before, before[:, ::-1], before[:, :, ::-1], before[:, ::-1, ::-1]]
    found = [
        [tuple(np.argwhere((way == tile).all((1, 2, 3))).ravel()) for way in ways] for tile in after
    ]
    places = [place for ways in found for way in ways for place in way]
    assert sorted(places) == list(range(49))
    assert places != list(range(49))
    assert {next(n for n, way in enumerate(ways) if way) for ways in found} == {0, 1, 2, 3}


def test_parts_come_from_frames_with_the_same_label(store: Store) -> None:
    redraw, fragments, reduced, windows = Redraw(store, 1), set(), set(), []
    for seed in range(60):
        mosaic, small = redraw.draw(4, rng(seed))
        assert mosaic.shape == small.shape == (SIDE, SIDE, 3)
        found = set(np.unique(mosaic).tolist())
        assert len(found - {4}) <= 1  # one partner
        fragments |= found
        reduced |= set(np.unique(small).tolist())
        windows.append(float((small != 4).mean()))
    assert fragments == reduced == {1, 4, 7}
    assert max(windows) == 1  # wholly another's
    assert any(0.2 < share < 0.8 for share in windows)


def test_without_a_share_and_without_a_human_mean_frames_stay_by_themselves(store: Store) -> None:
    for redraw, row in ((Redraw(store, 0), 4), (Redraw(store, 1), ROWS - 1)):
        for view in redraw.draw(row, rng()):
            assert (view == row).all()


def test_windows_cover_their_share() -> None:
    areas = []
    for seed in range(200):
        rows, columns = window((SIDE, 100), rng(seed))
        assert 0 <= rows.start < rows.stop <= SIDE
        assert 0 <= columns.start < columns.stop <= 100
        areas.append((rows.stop - rows.start) * (columns.stop - columns.start) / (SIDE * 100))
    assert min(areas) > 0.24
    assert max(areas) < 0.76
    assert np.ptp(areas) > 0.4


def test_mirrors_keep_their_chances() -> None:
    picture = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    seen = [mirrored(picture, 0.5, 0.25, rng(seed)).ravel().tolist() for seed in range(800)]
    across = np.mean([s in ([1, 0, 3, 2], [3, 2, 1, 0]) for s in seen])
    upside_down = np.mean([s in ([2, 3, 0, 1], [3, 2, 1, 0]) for s in seen])
    assert across == pytest.approx(0.5, abs=0.06)
    assert upside_down == pytest.approx(0.25, abs=0.06)


def test_epochs_differ_and_can_be_repeated(store: Store, tmp_path: Path) -> None:
    sources = open_sources(Views(0.5), Places(tmp_path), Takes(["resize:8x8"]), 3)
    first, again, later = (sources.train.unit(1, epoch) for epoch in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first.inputs, again.inputs, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first.inputs, later.inputs, strict=True))
    whole = sources.val.unit(1, 0)
    assert np.array_equal(whole.inputs[0][:, 0, 0, 0], np.arange(GROUP, 2 * GROUP))
    assert np.array_equal(whole.target, first.target)
    assert np.array_equal(whole.target, (store.mos[GROUP : 2 * GROUP] - 1) / 4)
    assert len(sources.train) == ROWS // GROUP


TUNE = """
seed = 5
steps = 2
batch = 1
average = 0.9

[model]
name = "{name}"
options = {{ blocks = 1, mlp_ratio = 1 }}
freeze = ["trunk.0"]

[data]
kind = "views"
mix = 0.5

[losses]
regression = 1.0

[optimizer]
lr = 1e-3

[schedule]
kind = "trapezoid"
"""


def recipe(folder: Path, name: str = "glint-edge") -> Recipe:
    path = folder / "tune.toml"
    path.write_text(TUNE.format(name=name))
    return Recipe.read(path)


@pytest.mark.usefixtures("store")
def test_the_trunk_learns_but_for_what_is_frozen(tmp_path: Path) -> None:
    run = Run(recipe(tmp_path), Places(tmp_path), {})
    before = {name: value.clone() for name, value in run.trainer.model.state_dict().items()}
    run.finish()
    after = run.trainer.model.state_dict()
    moved = {name for name in after if not np.array_equal(after[name], before[name])}
    assert not any(name.startswith("trunk.0.") for name in moved)
    assert any(name.startswith("trunk.1.") for name in moved)


@pytest.mark.usefixtures("store")
def test_other_models_and_missing_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"kind views are glint-edge's; the model is glintiqa"):
        Run(recipe(tmp_path, "glintiqa"), Places(tmp_path), {})
    with pytest.raises(SourceError, match=r"no prepared frames.*python -m iqa prepare"):
        Run(recipe(tmp_path), Places(tmp_path / "elsewhere"), {})


def test_a_source_without_redrawing_is_the_store(store: Store) -> None:
    unit = ViewsSource(store).unit(0, 7)
    assert np.array_equal(unit.inputs[1], store.resize[:GROUP])
    assert np.array_equal(unit.weight, store.weight[:GROUP])
